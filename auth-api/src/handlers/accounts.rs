//! Accounts: create (register), read, update, delete.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use shared::http::access::request_id;
use shared::http::router::Request;
use shared::media_api::{ImageName, PUBLIC_PREFIX};
use uuid::Uuid;
use warp::reply::Reply;

use super::responses::UserResponse;
use super::sessions;
use crate::app::App;
use crate::auth::Caller;
use crate::client_info::ClientInfo;
use crate::domain::{
    Email, FieldValue, FullName, Password, PictureChange, TextRules, ValidationErrors, required_or_optional_text,
};
use crate::error::{EMAIL_TAKEN, Error, FieldErrors, INVALID_IMAGE};
use crate::form::{FieldNames, Fields, PICTURE};
use crate::ids::new_uuid;
use crate::passwords::{Account, authenticate};
use crate::pictures::outbox;
use crate::store::cache::UserChange;
use crate::store::sessions::StampState;
use crate::store::users::{Changes, NewUser, User};
use crate::store::{self, within};
use crate::tokens::TokenError;

const FIELDS: FieldNames = &["email", "full_name", "password", PICTURE];

/// The parsed fields of a body; `None` is absent.
struct AccountFields {
    email: Option<Email>,
    full_name: Option<FullName>,
    password: Option<Password>,
    picture: PictureChange,
}

/// `POST register`.
pub async fn create(app: Arc<App>, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let client = ClientInfo::new(&app.config, &head);
    app.request_limits.count_registration(client.ip).await?;
    let fields = app.forms.read(body, app.config.picture_body_bytes_max(), FIELDS).await?;
    let fields = parse_fields(&app, &fields, None, &client).await?;
    let AccountFields { email: Some(email), full_name: Some(full_name), password: Some(password), picture } = fields
    else {
        return Err(Error::Internal("a required field is missing after parsing".to_owned()));
    };
    let hash = app.hashing.hash(password).await?;
    let uploaded = match picture {
        PictureChange::Replace(bytes) => Some(outbox::upload(&app, bytes).await?),
        PictureChange::Keep | PictureChange::Remove => None,
    };
    let new = NewUser {
        id: new_uuid(&app.random),
        email: &email,
        full_name: &full_name,
        password_hash: &hash,
        password_stamp: new_uuid(&app.random),
        profile_pic: uploaded.as_ref(),
    };
    let user = within(app.config.store_timeout, insert(&app, &new)).await?;
    let response = warp::reply::json(&UserResponse::new(&user, &app.config, &head));
    Ok(warp::reply::with_status(response, StatusCode::CREATED))
}

async fn insert(app: &App, new: &NewUser<'_>) -> Result<User, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await?;
    if let Some(name) = new.profile_pic {
        outbox::attach(&transaction, name).await?;
    }
    let user = store::users::insert(&transaction, new).await?;
    transaction.commit().await?;
    Ok(user)
}

/// `GET me`: other services use it to validate an access token.
pub async fn read(app: Arc<App>, caller: Caller, request: Request) -> impl Reply {
    warp::reply::json(&UserResponse::new(caller.user(), &app.config, &request.head))
}

/// `PUT update` and `PATCH update`: absent fields stay unchanged.
pub async fn update(app: Arc<App>, caller: Caller, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let fields = app.forms.read(body, app.config.picture_body_bytes_max(), FIELDS).await?;
    let client = ClientInfo::new(&app.config, &head);
    let fields = parse_fields(&app, &fields, Some(caller.user()), &client).await?;
    let password = match fields.password {
        Some(password) => {
            let hash = app.hashing.hash(password).await?;
            Some((hash, new_uuid(&app.random)))
        }
        None => None,
    };
    let uploaded = match fields.picture {
        PictureChange::Replace(bytes) => Some(Some(outbox::upload(&app, bytes).await?)),
        PictureChange::Remove => Some(None),
        PictureChange::Keep => None,
    };
    let changes = Changes {
        email: fields.email.as_ref(),
        full_name: fields.full_name.as_ref(),
        password: password.as_ref().map(|(hash, stamp)| (hash.as_str(), *stamp)),
        profile_pic: uploaded.as_ref().map(Option::as_ref),
    };
    let user = change(&app, &caller, &changes).await?;
    Ok(warp::reply::json(&UserResponse::new(&user, &app.config, &head)))
}

/// Changes the caller's account. A change of the password revokes the other sessions.
///
/// Writes the new password stamp to this session as pending before the commit. The commit then invalidates every session
/// without it: no crash point leaves an old session alive or ends this one.
async fn change(app: &App, caller: &Caller, changes: &Changes<'_>) -> Result<User, Error> {
    let revoked = || Error::AccessToken(TokenError::Invalid);
    if let Some((_, stamp)) = changes.password
        && !store::sessions::set_password_stamp(&app.redis, caller.session(), StampState::Pending, stamp).await?
    {
        return Err(revoked());
    }
    let committed = within(app.config.store_timeout, commit(app, caller.id(), changes)).await?;
    let Committed { user, replaced_picture, change } = committed.ok_or_else(revoked)?;
    change.committed().await;
    if let Some((_, stamp)) = changes.password {
        let session = caller.session();
        // Cleanup only: the pending stamp already keeps this session, and the others are invalid.
        let cleanup = async {
            let _ = store::sessions::set_password_stamp(&app.redis, session, StampState::Committed, stamp).await?;
            sessions::end_others(app, session.user_id, Some(session.sid)).await
        };
        if let Err(error) = cleanup.await {
            tracing::warn!(request_id = %request_id(), %error, user_id = %user.id, "password changed, cleanup of its invalid sessions in Redis failed; they expire on their own");
        }
        app.session_cache.invalidate(session);
    }
    if let Some(picture) = replaced_picture {
        outbox::delete_now(app, &picture).await;
    }
    Ok(user)
}

/// A committed change.
struct Committed {
    user: User,
    replaced_picture: Option<ImageName>,
    change: UserChange,
}

/// Commits the changes of a user. Returns `None` if the user is deleted.
async fn commit(app: &App, id: Uuid, changes: &Changes<'_>) -> Result<Option<Committed>, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await?;
    let Some(before) = store::users::find_for_update(&transaction, id).await? else { return Ok(None) };
    let replaced_picture = before.profile_pic.filter(|_| changes.profile_pic.is_some());
    if let Some(Some(name)) = changes.profile_pic {
        outbox::attach(&transaction, name).await?;
    }
    if let Some(name) = &replaced_picture {
        outbox::detach(&transaction, name).await?;
    }
    let Some(user) = store::users::update(&transaction, id, changes).await? else { return Ok(None) };
    let change = app.users.begin_change(id, user.version);
    transaction.commit().await?;
    Ok(Some(Committed { user, replaced_picture, change }))
}

/// `DELETE me`: deletes the account with its picture and sessions. Requires the password.
pub async fn delete(app: Arc<App>, caller: Caller, Request { head, body }: Request) -> Result<impl Reply, Error> {
    let fields = app.forms.read(body, app.config.body_bytes_max, &["password"]).await?;
    let mut errors = FieldErrors::default();
    let password = fields.required_text("password", false, Password::CHARS_MAX);
    let Some(password) = errors.take("password", password) else { return Err(Error::Fields(errors)) };
    let password = Password::to_compare(password);
    let ip = ClientInfo::new(&app.config, &head).ip;
    authenticate(&app, Account::Id(caller.id()), password, ip).await.map_err(|error| match error {
        Error::WrongCredentials => Error::WrongPassword,
        error => error,
    })?;
    if let Some((picture, change)) = within(app.config.store_timeout, commit_delete(&app, caller.id())).await? {
        change.committed().await;
        // Cleanup only: the sessions are invalid without their user.
        if let Err(error) = sessions::end_others(&app, caller.id(), None).await {
            tracing::warn!(request_id = %request_id(), %error, user_id = %caller.id(), "user deleted, cleanup of its sessions in Redis failed; they expire on their own");
        }
        if let Some(picture) = picture {
            outbox::delete_now(&app, &picture).await;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Commits the deletion of a user, and returns its picture. Returns `None` if the user does not exist.
async fn commit_delete(app: &App, id: Uuid) -> Result<Option<(Option<ImageName>, UserChange)>, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await?;
    let Some(user) = store::users::find_for_update(&transaction, id).await? else { return Ok(None) };
    if let Some(name) = &user.profile_pic {
        outbox::detach(&transaction, name).await?;
    }
    let _ = store::users::delete(&transaction, id).await?;
    let change = app.users.begin_change(id, user.version + 1);
    transaction.commit().await?;
    Ok(Some((user.profile_pic, change)))
}

/// Parses the fields of a new account (all required but the picture) or for an `existing` one. Reports all errors at once,
/// also a taken address and an invalid image.
async fn parse_fields(
    app: &App,
    fields: &Fields,
    existing: Option<&User>,
    client: &ClientInfo,
) -> Result<AccountFields, Error> {
    let required = existing.is_none();
    let rules = |trimmed, chars_max| TextRules { required, trimmed, chars_max };
    let mut errors = FieldErrors::default();
    let email = parse(fields.text("email"), rules(true, Email::CHARS_MAX), Email::parse);
    let email = errors.take("email", email).flatten();
    let full_name = parse(fields.text("full_name"), rules(true, FullName::CHARS_MAX), FullName::parse);
    let full_name = errors.take("full_name", full_name).flatten();
    let email_text = match fields.text("email") {
        FieldValue::Text(text) => Some(text.trim()),
        _ => existing.map(|user| user.email.as_str()),
    };
    let parse_password = |text: &str| Password::parse_new(text, email_text);
    let password = parse(fields.text("password"), rules(false, Password::CHARS_MAX), parse_password);
    let password = errors.take("password", password).flatten();
    let is_current =
        |text: &str| existing.and_then(|user| user.profile_pic.as_ref()).is_some_and(|pic| links_to(text, pic));
    let picture = errors.take(PICTURE, PictureChange::parse(fields.picture(), is_current));
    let picture = picture.unwrap_or(PictureChange::Keep);
    if let Some(email) = &email
        && is_taken(app, email, existing, client).await?
    {
        errors.add("email", vec![EMAIL_TAKEN.to_owned()]);
    }
    check_picture(app, &picture, &mut errors).await?;
    if errors.is_empty() {
        Ok(AccountFields { email, full_name, password, picture })
    } else {
        Err(Error::Fields(errors))
    }
}

fn parse<T>(
    value: FieldValue<'_>,
    rules: TextRules,
    parse: impl FnOnce(&str) -> Result<T, ValidationErrors>,
) -> Result<Option<T>, ValidationErrors> {
    required_or_optional_text(value, rules)?.map(parse).transpose()
}

/// Whether another account has the address. Counts an update as a probe unless the address is the user's own; a registration
/// was counted before its body was read.
async fn is_taken(app: &App, email: &Email, existing: Option<&User>, client: &ClientInfo) -> Result<bool, Error> {
    if let Some(user) = existing {
        if Email::lookup_form(&user.email).as_deref() == Some(email.as_str()) {
            return Ok(false);
        }
        app.request_limits.count_email_check(user.id, client.ip).await?;
    }
    let find = async {
        let client = app.postgres.get().await?;
        store::users::is_email_taken(&client, email, existing.map(|user| user.id)).await
    };
    Ok(within(app.config.store_timeout, find).await?)
}

/// Rejects a picture that is too large. If other fields have errors, the picture is verified without an upload, to report all
/// errors at once; if media-server is unavailable then, only the others are reported.
async fn check_picture(app: &App, picture: &PictureChange, errors: &mut FieldErrors) -> Result<(), Error> {
    let PictureChange::Replace(bytes) = picture else { return Ok(()) };
    let limit_bytes = app.config.picture_bytes_max;
    if bytes.len() > limit_bytes {
        return Err(Error::PictureTooLarge { limit_bytes });
    }
    if !errors.is_empty()
        && let Err(Error::InvalidImage(_)) = app.media.check(Bytes::clone(bytes)).await
    {
        errors.add(PICTURE, vec![INVALID_IMAGE.to_owned()]);
    }
    Ok(())
}

/// Whether `text` is a link to this picture, under any host.
fn links_to(text: &str, name: &ImageName) -> bool {
    text.split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .is_some_and(|(_, path)| format!("/{path}") == format!("{PUBLIC_PREFIX}{}", name.as_str()))
}
