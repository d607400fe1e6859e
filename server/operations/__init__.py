"""Operations: what is done to one card, journaled and continued after a cut."""
