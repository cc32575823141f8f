//! Accounts: create (register), read, update, delete.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use shared::http::body::BodyReader;
use shared::http::route::Head;
use shared::media_api::{ImageName, PUBLIC_PREFIX};
use uuid::Uuid;
use warp::http::StatusCode;
use warp::reply::Reply;

use crate::caller::{self, Caller, Origin, public_url};
use crate::domain::{Email, FullName, Password, Picture, Presented, Refusal, TextField, present};
use crate::error::{EMAIL_TAKEN, Error, FieldErrors, NOT_A_PICTURE};
use crate::fields::{self, Fields};
use crate::passwords::{Account, authenticate};
use crate::store::cache::UserChange;
use crate::store::sessions::StampState;
use crate::store::users::{Changes, NewUser, User};
use crate::store::{self, StoreError, within};
use crate::tokens::TokenFault;
use crate::{App, new_uuid, pictures, sessions};

/// An account as its answers show it, in this order.
#[derive(Serialize)]
pub struct UserAnswer<'a> {
    id: Uuid,
    full_name: &'a str,
    email: &'a str,
    profile_pic: Option<String>,
}

impl<'a> UserAnswer<'a> {
    /// The account, its picture as a link that begins where the client reached us.
    pub fn of(user: &'a User, app: &App, head: &Head) -> Self {
        let link = |name: &ImageName| format!("{}{PUBLIC_PREFIX}{}", public_url(app, head), name.as_str());
        Self {
            id: user.id,
            full_name: &user.full_name,
            email: &user.email,
            profile_pic: user.profile_pic.as_ref().map(link),
        }
    }
}

const FIELDS: fields::Names = &["email", "full_name", "password", fields::PICTURE];

/// What a body asks an account to be; `None` is not asked for.
struct Asked {
    email: Option<Email>,
    full_name: Option<FullName>,
    password: Option<Password>,
    picture: Picture,
}

/// `POST register`.
pub async fn create(app: Arc<App>, head: Head, body: BodyReader) -> Result<impl Reply, Error> {
    let client = Origin::of(&app, &head);
    app.request_limits.count_registration(client.ip).await?;
    let fields = app.bodies.read(body, app.config.picture_body_bytes_max(), FIELDS).await?;
    let asked = ask(&app, &fields, None, &client).await?;
    let Asked { email: Some(email), full_name: Some(full_name), password: Some(password), picture } = asked else {
        return Err(Error::Internal("a required field is missing after parsing".to_owned()));
    };
    let hash = app.hashing.hash(password).await?;
    let uploaded = match picture {
        Picture::New(bytes) => Some(pictures::upload(&app, bytes).await?),
        Picture::Unchanged | Picture::None => None,
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
    let answer = warp::reply::json(&UserAnswer::of(&user, &app, &head));
    Ok(warp::reply::with_status(answer, StatusCode::CREATED))
}

async fn insert(app: &App, new: &NewUser<'_>) -> Result<User, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    if let Some(name) = new.profile_pic {
        pictures::adopt(&transaction, name).await?;
    }
    let user = store::users::insert(&transaction, new).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(user)
}

/// `GET me`: how other services validate an access token.
pub async fn read(app: Arc<App>, head: Head) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    Ok(warp::reply::json(&UserAnswer::of(caller.user(), &app, &head)))
}

/// `PUT update` and `PATCH update`: what is absent stays as it is.
pub async fn update(app: Arc<App>, head: Head, body: BodyReader) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    let fields = app.bodies.read(body, app.config.picture_body_bytes_max(), FIELDS).await?;
    let asked = ask(&app, &fields, Some(caller.user()), &Origin::of(&app, &head)).await?;
    let password = match asked.password {
        Some(password) => {
            let hash = app.hashing.hash(password).await?;
            Some((hash, new_uuid(&app.random)))
        }
        None => None,
    };
    let uploaded = match asked.picture {
        Picture::New(bytes) => Some(Some(pictures::upload(&app, bytes).await?)),
        Picture::None => Some(None),
        Picture::Unchanged => None,
    };
    let changes = Changes {
        email: asked.email.as_ref(),
        full_name: asked.full_name.as_ref(),
        password: password.as_ref().map(|(hash, stamp)| (hash.as_str(), *stamp)),
        profile_pic: uploaded.as_ref().map(Option::as_ref),
    };
    let user = change(&app, &caller, &changes).await?;
    Ok(warp::reply::json(&UserAnswer::of(&user, &app, &head)))
}

/// Changes the caller's account; a change of password ends the other sessions.
///
/// Writes the new password stamp to this session as pending before the commit. The commit then invalidates every session
/// without it: no crash point leaves an old session alive or ends this one.
async fn change(app: &App, caller: &Caller, changes: &Changes<'_>) -> Result<User, Error> {
    let invalid_token = || Error::AccessToken(TokenFault::Invalid);
    if let Some((_, stamp)) = changes.password
        && !store::sessions::set_password_stamp(&app.redis, caller.session(), StampState::Pending, stamp).await?
    {
        return Err(invalid_token());
    }
    let committed = within(app.config.store_timeout, commit(app, caller.id(), changes)).await?;
    let Committed { user, replaced_picture, change } = committed.ok_or_else(invalid_token)?;
    change.committed().await;
    if let Some((_, stamp)) = changes.password {
        let session = caller.session();
        // This session is already alive under the pending stamp, and the others have ended: a failure changes neither.
        let cleanup = async {
            let _ = store::sessions::set_password_stamp(&app.redis, session, StampState::Committed, stamp).await?;
            sessions::end_others(app, session.user_id, Some(session.sid)).await
        };
        if let Err(error) = cleanup.await {
            tracing::warn!(%error, user_id = %user.id, "password changed; its ended sessions stay in Redis until they expire");
        }
        app.session_cache.invalidate(session);
    }
    if let Some(picture) = replaced_picture {
        pictures::delete_now(app, &picture).await;
    }
    Ok(user)
}

/// A committed change.
struct Committed {
    user: User,
    replaced_picture: Option<ImageName>,
    change: UserChange,
}

/// Commits the changes of a user. Returns `None` if the user does not exist.
async fn commit(app: &App, id: Uuid, changes: &Changes<'_>) -> Result<Option<Committed>, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let Some(before) = store::users::find_for_update(&transaction, id).await? else { return Ok(None) };
    let replaced_picture = before.profile_pic.filter(|_| changes.profile_pic.is_some());
    if let Some(Some(name)) = changes.profile_pic {
        pictures::adopt(&transaction, name).await?;
    }
    if let Some(name) = &replaced_picture {
        pictures::abandon(&transaction, name).await?;
    }
    let Some(user) = store::users::update(&transaction, id, changes).await? else { return Ok(None) };
    let change = app.users.begin_change(id, user.version);
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(Some(Committed { user, replaced_picture, change }))
}

/// `DELETE me`: the account, its picture and its sessions are gone. Its password is asked for.
pub async fn delete(app: Arc<App>, head: Head, body: BodyReader) -> Result<impl Reply, Error> {
    let caller = caller::identify(&app, &head).await?;
    let fields = app.bodies.read(body, app.config.body_bytes_max, &["password"]).await?;
    let mut errors = FieldErrors::default();
    let password = sessions::required_text(&fields, "password", false, Password::CHARS_MAX);
    let Some(password) = errors.take("password", password) else { return Err(Error::Fields(errors)) };
    let password = Password::to_compare(password);
    authenticate(&app, Account::Id(caller.id()), password, Origin::of(&app, &head).ip).await.map_err(|error| {
        match error {
            Error::WrongCredentials => Error::WrongPassword,
            error => error,
        }
    })?;
    if let Some((picture, change)) = within(app.config.store_timeout, commit_delete(&app, caller.id())).await? {
        change.committed().await;
        // The sessions have ended with their user: a failure only leaves their keys.
        if let Err(error) = sessions::end_others(&app, caller.id(), None).await {
            tracing::warn!(%error, user_id = %caller.id(), "user deleted; its ended sessions stay in Redis until they expire");
        }
        if let Some(picture) = picture {
            pictures::delete_now(&app, &picture).await;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Commits the deletion of a user, and returns the picture it had. Returns `None` if the user does not exist.
async fn commit_delete(app: &App, id: Uuid) -> Result<Option<(Option<ImageName>, UserChange)>, Error> {
    let mut client = app.postgres.get().await?;
    let transaction = client.transaction().await.map_err(StoreError::from)?;
    let Some(user) = store::users::find_for_update(&transaction, id).await? else { return Ok(None) };
    if let Some(name) = &user.profile_pic {
        pictures::abandon(&transaction, name).await?;
    }
    let _ = store::users::delete(&transaction, id).await?;
    let change = app.users.begin_change(id, user.version + 1);
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(Some((user.profile_pic, change)))
}

/// Parses the fields, for a new account (all but the picture required) or for an existing one. All failures are reported at
/// once: the address that is taken and the picture that is none, too.
async fn ask(app: &App, fields: &Fields, standing: Option<&User>, client: &Origin) -> Result<Asked, Error> {
    let required = standing.is_none();
    let field = |trimmed, chars_max| TextField { required, trimmed, chars_max };
    let mut errors = FieldErrors::default();
    let email = parse(fields.text("email"), field(true, Email::CHARS_MAX), Email::parse);
    let email = errors.take("email", email).flatten();
    let full_name = parse(fields.text("full_name"), field(true, FullName::CHARS_MAX), FullName::parse);
    let full_name = errors.take("full_name", full_name).flatten();
    let email_text = match fields.text("email") {
        Presented::Text(text) => Some(text.trim()),
        _ => standing.map(|user| user.email.as_str()),
    };
    let parse_password = |text: &str| Password::parse_new(text, email_text);
    let password = parse(fields.text("password"), field(false, Password::CHARS_MAX), parse_password);
    let password = errors.take("password", password).flatten();
    let is_current =
        |text: &str| standing.and_then(|user| user.profile_pic.as_ref()).is_some_and(|pic| links_to(text, pic));
    let picture = errors.take(fields::PICTURE, Picture::parse(fields.picture(), is_current));
    let picture = picture.unwrap_or(Picture::Unchanged);
    if let Some(email) = &email
        && is_taken(app, email, standing, client).await?
    {
        errors.add("email", vec![EMAIL_TAKEN.to_owned()]);
    }
    check_picture(app, &picture, &mut errors).await?;
    if errors.is_empty() { Ok(Asked { email, full_name, password, picture }) } else { Err(Error::Fields(errors)) }
}

fn parse<T>(
    presented: Presented<'_>,
    field: TextField,
    parse: impl FnOnce(&str) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    present(presented, field)?.map(parse).transpose()
}

/// Whether another account has the address. An update counts as a probe, unless the address is the account's own; a
/// registration has been counted before its body was read.
async fn is_taken(app: &App, email: &Email, standing: Option<&User>, client: &Origin) -> Result<bool, Error> {
    if let Some(user) = standing {
        if Email::lookup_form(&user.email).as_deref() == Some(email.canonical()) {
            return Ok(false);
        }
        app.request_limits.count_email_check(user.id, client.ip).await?;
    }
    let look = async {
        let client = app.postgres.get().await?;
        store::users::is_email_taken(&client, email, standing.map(|user| user.id)).await
    };
    Ok(within(app.config.store_timeout, look).await?)
}

/// A picture that is too large is refused. Where other fields are wrong, so that it will not be uploaded, it is checked
/// all the same, to tell all at once; if media-server is away then, the others are told.
async fn check_picture(app: &App, picture: &Picture, errors: &mut FieldErrors) -> Result<(), Error> {
    let Picture::New(bytes) = picture else { return Ok(()) };
    let limit_bytes = app.config.picture_bytes_max;
    if bytes.len() > limit_bytes {
        return Err(Error::PictureTooLarge { limit_bytes });
    }
    if !errors.is_empty()
        && let Err(Error::NotAPicture(_)) = app.media.check(Bytes::clone(bytes)).await
    {
        errors.add(fields::PICTURE, vec![NOT_A_PICTURE.to_owned()]);
    }
    Ok(())
}

/// Whether `text` is a link to this picture, by whatever name the client reaches us.
fn links_to(text: &str, name: &ImageName) -> bool {
    text.split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .is_some_and(|(_, path)| format!("/{path}") == format!("{PUBLIC_PREFIX}{}", name.as_str()))
}
