//! `GET /images`: lists stored pictures page by page, for auth-api's reconciliation.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use shared::http::router::Request;
use shared::media_api::{ImageId, LIST_LIMIT_MAX, StoredImage, StoredPage};
use warp::reply::{Reply, Response};

use crate::app::App;
use crate::error::Error;
use crate::storage::ListedImage;

/// `GET /images?after=<id>&limit=N`: 200 [`StoredPage`].
pub async fn list(app: Arc<App>, request: Request) -> Result<Response, Error> {
    let PageRequest { after, limit } = PageRequest::parse(request.head.query()).ok_or(Error::Query)?;
    let page = app.storage.list(after, limit).await?;
    let images = page.images.into_iter().map(stored).collect();
    Ok(warp::reply::json(&StoredPage { images, next: page.next }).into_response())
}

fn stored(ListedImage { id, modified, has_original }: ListedImage) -> StoredImage {
    let stored_at = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    StoredImage { id, stored_at, has_original }
}

#[derive(Debug, PartialEq, Eq)]
struct PageRequest {
    after: Option<ImageId>,
    limit: usize,
}

impl PageRequest {
    /// Strict: the only client is auth-api.
    fn parse(query: &str) -> Option<Self> {
        let mut request = Self { after: None, limit: LIST_LIMIT_MAX };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("after", id) => request.after = Some(ImageId::parse(id).ok()?),
                ("limit", limit) => request.limit = limit.parse().ok().filter(|n| (1..=LIST_LIMIT_MAX).contains(n))?,
                _ => return None,
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_request_has_an_id_and_a_bounded_limit() {
        let id = "0123456789abcdef0123456789abcdef";
        let after = ImageId::parse(id).ok();
        assert_eq!(PageRequest::parse(""), Some(PageRequest { after: None, limit: LIST_LIMIT_MAX }));
        assert_eq!(PageRequest::parse(&format!("after={id}&limit=7")), Some(PageRequest { after, limit: 7 }));
        for wrong in ["after=", "after=x", "limit=0", "limit=1001", "limit=-1", "limit", "size=1"] {
            assert_eq!(PageRequest::parse(wrong), None, "{wrong}");
        }
    }
}
