-- Keeps email_canonical in step with an email that is updated alone, as an operator does it.
--
-- Otherwise two accounts could show one address, and no user could sign in with the new one. The canonical form of an
-- internationalized domain (IDNA) can't be computed in SQL: there the update is refused unless it sets both columns. An
-- update that sets both, as every release of the service does, passes unchanged.
--
-- A trigger can't see which columns an update sets, but `before update of` can. The three run in the order of their names:
-- the first marks the canonical form of an update that sets it, the second acts where the mark is missing, the third takes
-- the mark away.

create function users_mark_email_canonical() returns trigger language plpgsql as $$
begin
    new.email_canonical := new.email_canonical || chr(10);
    return new;
end
$$;

create function users_unmark_email_canonical() returns trigger language plpgsql as $$
begin
    new.email_canonical := rtrim(new.email_canonical, chr(10));
    return new;
end
$$;

create function users_derive_email_canonical() returns trigger language plpgsql as $$
begin
    if new.email is not distinct from old.email or right(new.email_canonical, 1) = chr(10) then
        return new;
    end if;
    -- A quoted local part has a canonical form without the quotes, if it needs none.
    if octet_length(new.email) <> char_length(new.email) or strpos(new.email, '"') > 0 then
        raise exception 'update of users.email alone: the canonical form of this address is not known to Postgres'
            using errcode = 'check_violation',
                  hint = 'Set email_canonical in the same update: lower case, the domain in ASCII (xn--...).';
    end if;
    new.email_canonical := lower(new.email collate "C");
    return new;
end
$$;

create trigger users_email_1_mark before update of email_canonical on users
    for each row execute function users_mark_email_canonical();

create trigger users_email_2_derive before update of email on users
    for each row execute function users_derive_email_canonical();

create trigger users_email_3_unmark before update of email_canonical on users
    for each row execute function users_unmark_email_canonical();
