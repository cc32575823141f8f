-- The people who have an account.
--
-- A row is the truth about a person: sessions and tokens only point here. What may change later without
-- touching a row is kept out of it (limits, the public origin of links, hash parameters: they are in the hash).

create table users (
    id             uuid        not null,

    -- As the person is shown it: what was sent, in lower case.
    email          text        not null,

    -- The one form of the mailbox: lower case, the domain in ASCII. Two accounts never share one, whatever
    -- the race: the constraint's name is the error `EmailTaken`.
    email_canonical text       not null,

    full_name      text        not null,

    -- A PHC string: algorithm, parameters and salt stand in it, so that it can be told when to hash anew.
    password_hash  text        not null,

    -- Random, made anew with each password. A session is alive only while it bears the stamp that stands here, so a
    -- change of password ends the other sessions in the very transaction that changes it: no crash can fall between.
    password_stamp uuid        not null,

    -- The picture's name at media-server. A name that stands here is never deleted there.
    profile_pic    text,

    -- An account that is disabled can't be signed in to; its tokens are refused.
    disabled_at    timestamptz,

    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),

    constraint users_pkey primary key (id),
    constraint users_email_key unique (email_canonical),
    constraint users_profile_pic_key unique (profile_pic)
);
