"""Operations on schedules: keep, pause and delete them, declare those of the code, enqueue what is due."""
