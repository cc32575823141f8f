-- Pictures that media-server shall delete: the outbox between a user's row and the picture's file.
--
-- A row is written in its own transaction before a picture is uploaded ("delete this, unless it finds an owner"), and
-- is taken away in the transaction that gives the picture its owner. Whoever replaces or deletes a picture writes
-- the old one's row in that same transaction. So at any moment, and after any crash, a picture has an owner, or a row
-- here, and never an owner and a row: what is due here can be deleted without asking who uses it.

create table picture_deletions (
    -- The picture's id at media-server: 32 hexadecimal digits.
    picture_id text        not null,

    -- Not before this time: an upload is given time to find its owner.
    due_at     timestamptz not null,

    constraint picture_deletions_pkey primary key (picture_id)
);

create index picture_deletions_due_at_idx on picture_deletions (due_at);
