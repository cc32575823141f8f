#!/bin/bash
# Entry point of the substitute for postgres:18 that deploy/images builds: the part of the official image's contract that
# docker-compose.yml uses. Initializes an empty volume in a temporary directory, renamed when complete.
set -euo pipefail

unfinished=$PGDATA.new

sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host /var/run/postgresql --username "$POSTGRES_USER" "$@"; }

make_database() {
    : "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
    rm -rf "$unfinished"
    mkdir -p "$unfinished"
    # shellcheck disable=SC2086 # words, as in the official image
    initdb --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-host scram-sha-256 \
        --pgdata "$unfinished" ${POSTGRES_INITDB_ARGS:-}
    echo "listen_addresses = '*'" >>"$unfinished/postgresql.conf"
    echo "host all all all scram-sha-256" >>"$unfinished/pg_hba.conf"
    pg_ctl --pgdata "$unfinished" --wait --silent --options "-c listen_addresses=''" start
    [ "$POSTGRES_DB" = postgres ] || sql --dbname postgres --command "create database \"$POSTGRES_DB\""
    local file
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -e "$file" ] || sql --dbname "$POSTGRES_DB" --file "$file"
    done
    pg_ctl --pgdata "$unfinished" --wait --silent --mode fast stop
    mv "$unfinished" "$PGDATA"
    sync
}

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then make_database; fi
exec "$@"
