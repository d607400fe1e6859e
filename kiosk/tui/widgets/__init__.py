"""The parts that screens are made of. A widget draws values that it is given and asks for nothing."""
