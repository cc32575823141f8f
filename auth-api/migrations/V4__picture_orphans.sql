-- Orphans: pictures that media-server has, and that have neither an owner nor a note in picture_deletions. No crash of ours
-- leaves one (see V2), but a restored back-up does, or a storage that somebody else has written to. A sweep compares what
-- is stored with what is owned, and gives an orphan a note.

-- From then on a note may be wrong: whoever restores or repairs by hand may give the picture an owner again. So the owner is
-- asked for when a deletion begins, in the statement that sets this. From that moment until media-server has deleted the
-- picture and the note is gone, nobody can become its owner; due_at is then when the deletion is begun again, should it fail.
alter table picture_deletions add column begun_at timestamptz;

-- Whether a sweep has given the note, and not the picture's upload. An upload that comes back later than every grace may
-- find its picture deleted, its own note with it, and this one in its place, by a sweep that had listed before: it must not
-- take it for its own.
alter table picture_deletions add column is_orphan boolean not null default false;

-- Who has a picture, by its id, and in the order in which media-server lists: that of bytes, whatever the collation.
create index users_picture_id_idx on users ((left(profile_pic, 32) collate "C")) where profile_pic is not null;

-- When the last sweep for orphans began, in its one row. Whoever moves it on has the next one to do, however many replicas
-- look.
create table orphan_sweeps (
    is_only_row boolean     not null default true,

    begun_at    timestamptz not null,

    constraint orphan_sweeps_pkey primary key (is_only_row),
    constraint orphan_sweeps_is_only_row_check check (is_only_row)
);

insert into orphan_sweeps (begun_at) values (now());
