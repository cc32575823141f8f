-- A row's version, for copies of it: of two copies the one with the higher version is newer.
--
-- Redis holds a copy of the rows that are read often (`store/user_copies.rs`). A reader that was slow must not put an old
-- row back over a newer one, whoever changed the row: so the database counts, and not the statement.

alter table users add column version bigint not null default 1;

create function users_count_version() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    return new;
end
$$;

create trigger users_version before update on users for each row execute function users_count_version();

-- Tells every auth-api of a change, by whomever it was made, so that what an operator changes by hand holds at once. The
-- payload is `<id> <version>`; a row that is gone has the version after its last.
create function users_tell_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        perform pg_notify('users_changed', old.id || ' ' || old.version + 1);
    else
        perform pg_notify('users_changed', new.id || ' ' || new.version);
    end if;
    return null;
end
$$;

create trigger users_changed after update or delete on users for each row execute function users_tell_change();
