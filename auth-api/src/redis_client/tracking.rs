//! RESP3 invalidation messages ([client-side caching](https://redis.io/docs/latest/develop/reference/client-side-caching/)).

use std::sync::Arc;

use redis::{PushInfo, PushKind, RedisError, Value};

/// What to invalidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    Key(Vec<u8>),
    /// The database was flushed, or slots of a Cluster have moved.
    All,
}

/// Invalidation callback.
pub(super) type OnInvalidate = Arc<dyn Fn(Invalidation) + Send + Sync>;

/// Calls `on_invalidate` for each invalidation in `push`.
pub(super) fn dispatch(push: PushInfo, on_invalidate: &OnInvalidate) {
    if push.kind != PushKind::Invalidate {
        return;
    }
    match push.data.into_iter().next() {
        Some(Value::Array(keys)) => {
            for key in keys {
                let key: Result<Vec<u8>, RedisError> = redis::from_redis_value(key).map_err(Into::into);
                on_invalidate(key.map_or(Invalidation::All, Invalidation::Key));
            }
        }
        // FLUSHALL and FLUSHDB name no key.
        _ => on_invalidate(Invalidation::All),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn dispatched(kind: PushKind, data: Vec<Value>) -> Vec<Invalidation> {
        let dispatched = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&dispatched);
        let on_invalidate: OnInvalidate = Arc::new(move |invalidation| all.lock().unwrap().push(invalidation));
        dispatch(PushInfo { kind, data }, &on_invalidate);
        let dispatched = dispatched.lock().unwrap();
        dispatched.clone()
    }

    #[test]
    fn each_key_is_invalidated_and_a_flush_invalidates_all() {
        let key = |name: &[u8]| Value::BulkString(name.to_vec());
        let keys = vec![Value::Array(vec![key(b"a"), key(b"b")])];
        let invalidations = [b"a", b"b"].map(|name| Invalidation::Key(name.to_vec()));
        assert_eq!(dispatched(PushKind::Invalidate, keys), invalidations);
        assert_eq!(dispatched(PushKind::Invalidate, vec![Value::Nil]), [Invalidation::All]);
        assert_eq!(dispatched(PushKind::Message, vec![key(b"a")]), []);
    }
}
