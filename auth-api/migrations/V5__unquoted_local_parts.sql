-- Quotes around a local part that needs none: "o'brien"@example.com is the mailbox o'brien@example.com.
--
-- Earlier releases stored both forms, so that one mailbox could have several accounts. From now on such quotes are removed
-- before an address is stored or looked up. Here the accounts stored with them lose them, unless another account has the
-- address without them: that one keeps it. The previous release goes on reading and writing these rows.

with unquoted as (
    select id,
           created_at,
           regexp_replace(substring(email_canonical from '^"(.*)"@[^"@]*$'), '\\(.)', '\1', 'g') as local
    from users
    where email_canonical like '"%'
),
chosen as (
    select distinct on (local || substring(users.email_canonical from '@[^@]*$')) users.id, local
    from users
    join unquoted on unquoted.id = users.id
    where local ~ '^[a-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&''*+/=?^_`{|}~-]+)*$'
    order by local || substring(users.email_canonical from '@[^@]*$'), users.created_at
)
update users
set email = chosen.local || substring(email from '@[^@]*$'),
    email_canonical = chosen.local || substring(email_canonical from '@[^@]*$')
from chosen
where chosen.id = users.id
  and not exists (
      select from users as other
      where other.email_canonical = chosen.local || substring(users.email_canonical from '@[^@]*$')
  );
