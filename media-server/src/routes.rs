//! The two tables of routes. A path answers with and without its last slash.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;
use shared::http::Problem;
use shared::http::access::RouteNames;
use shared::http::body;
use shared::http::route::{Head, answer, head, health, only, with};
use shared::media_api::{self, ImageId, NotAName};
use warp::reject::Reject;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection, path};

use crate::App;
use crate::handlers::{delivery, listing, readiness, uploads};

/// The paths of [`delivering`], as they are logged.
pub const DELIVERING_NAMES: RouteNames = &["/api/user/media/:name", "/healthz", "/readyz"];

/// The paths of [`writing`], as they are logged.
pub const WRITING_NAMES: RouteNames = &["/images", "/images/check", "/images/:id"];

/// What nginx and the watchers of the process reach.
pub fn delivering(
    app: &Arc<App>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<> {
    let picture = path!("api" / "user" / "media" / String)
        .and(only(&[Method::GET]))
        .and(with(app))
        .and(warp::method())
        .and(head())
        .and(query())
        .then(delivery::read);
    let health = {
        let app = Arc::clone(app);
        health(move || readiness::check(Arc::clone(&app)))
    };
    answer(picture.or(health))
}

/// What only auth-api reaches, with the secret of the two services; nothing is told to who does not know it.
pub fn writing(
    app: &Arc<App>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<> {
    let check =
        path!("images" / "check").and(only(&[Method::POST])).and(with(app)).and(body::reader()).then(uploads::check);
    let list = path!("images").and(only(&[Method::GET])).and(with(app)).and(query()).then(listing::list);
    let picture = path!("images" / IdSegment).and(only(&[Method::PUT, Method::DELETE])).map(|IdSegment(id)| id);
    let create = picture.clone().and(warp::put()).and(with(app)).and(body::reader()).then(uploads::create);
    let delete = picture.and(warp::delete()).and(with(app)).then(uploads::delete);
    authorized(app).and(answer(list.or(check).or(create).or(delete))).recover(refuse).unify()
}

/// What stands after `?`, or nothing.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// A picture's id; another text is the path of nothing.
struct IdSegment(ImageId);

impl FromStr for IdSegment {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        ImageId::parse(text).map(Self)
    }
}

/// The secret was not shown.
#[derive(Debug)]
struct Unauthorized;

impl Reject for Unauthorized {}

fn authorized(app: &Arc<App>) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    with(app)
        .and(head())
        .and_then(|app: Arc<App>, head: Head| async move {
            let shown = head.headers().get(http::header::AUTHORIZATION).and_then(|header| header.to_str().ok());
            if media_api::is_authorized(&app.secret, shown) { Ok(()) } else { Err(warp::reject::custom(Unauthorized)) }
        })
        .untuple_one()
}

/// [`authorized`] alone rejects here: the table behind it is closed.
async fn refuse(_: Rejection) -> Result<Response, Infallible> {
    Ok(Problem::service_secret().into_response())
}
