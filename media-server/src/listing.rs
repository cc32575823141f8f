//! `GET /images`: what is stored, page by page, for who compares it with what has an owner.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use shared::media_api::{ImageId, LIST_LIMIT_MAX, StoredImage, StoredPage};
use warp::reply::{Reply, Response};

use crate::App;
use crate::error::Error;
use crate::storage::Listed;

/// `GET /images?after=<id>&limit=N`: 200 [`StoredPage`].
pub async fn list(app: Arc<App>, query: String) -> Result<Response, Error> {
    let Asked { after, limit } = Asked::parse(&query).ok_or(Error::Query)?;
    let page = app.storage.list(after, limit).await?;
    let images = page.images.into_iter().map(stored).collect();
    Ok(warp::reply::json(&StoredPage { images, next: page.next }).into_response())
}

fn stored(Listed { id, modified, has_original }: Listed) -> StoredImage {
    let stored_at = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    StoredImage { id, stored_at, has_original }
}

/// Which page.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    after: Option<ImageId>,
    limit: usize,
}

impl Asked {
    /// Strict: who asks is a program of ours.
    fn parse(query: &str) -> Option<Self> {
        let mut asked = Self { after: None, limit: LIST_LIMIT_MAX };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("after", id) => asked.after = Some(ImageId::parse(id).ok()?),
                ("limit", limit) => asked.limit = limit.parse().ok().filter(|n| (1..=LIST_LIMIT_MAX).contains(n))?,
                _ => return None,
            }
        }
        Some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_after_an_id_and_no_larger_than_may_be() {
        let id = "0123456789abcdef0123456789abcdef";
        let after = ImageId::parse(id).ok();
        assert_eq!(Asked::parse(""), Some(Asked { after: None, limit: LIST_LIMIT_MAX }));
        assert_eq!(Asked::parse(&format!("after={id}&limit=7")), Some(Asked { after, limit: 7 }));
        for wrong in ["after=", "after=x", "limit=0", "limit=1001", "limit=-1", "limit", "size=1"] {
            assert_eq!(Asked::parse(wrong), None, "{wrong}");
        }
    }
}
