"""What every face of the station shares: the relay, questions, look-ups, wording. No widget, no gRPC, no reader."""
