//! What Redis says unasked: [client-side caching](https://redis.io/docs/latest/develop/reference/client-side-caching/).

use std::sync::Arc;

use redis::{PushInfo, PushKind, RedisError, Value};

/// What may be otherwise than it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The value of one key.
    Of(Vec<u8>),
    /// Any: the database was flushed, or slots of a Cluster have moved.
    Any,
}

/// Who is told.
pub(super) type Changed = Arc<dyn Fn(Change) + Send + Sync>;

/// Tells of the changes in `push`, if it is about any.
pub(super) fn tell(push: PushInfo, changed: &Changed) {
    if push.kind != PushKind::Invalidate {
        return;
    }
    match push.data.into_iter().next() {
        Some(Value::Array(keys)) => {
            for key in keys {
                let key: Result<Vec<u8>, RedisError> = redis::from_redis_value(key).map_err(Into::into);
                changed(key.map_or(Change::Any, Change::Of));
            }
        }
        // FLUSHALL and FLUSHDB name no key.
        _ => changed(Change::Any),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn told(kind: PushKind, data: Vec<Value>) -> Vec<Change> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        let changed: Changed = Arc::new(move |change| all.lock().unwrap().push(change));
        tell(PushInfo { kind, data }, &changed);
        let told = told.lock().unwrap();
        told.clone()
    }

    #[test]
    fn each_key_is_told_and_a_flush_is_all_of_them() {
        let key = |name: &[u8]| Value::BulkString(name.to_vec());
        let keys = vec![Value::Array(vec![key(b"a"), key(b"b")])];
        assert_eq!(told(PushKind::Invalidate, keys), [Change::Of(b"a".to_vec()), Change::Of(b"b".to_vec())]);
        assert_eq!(told(PushKind::Invalidate, vec![Value::Nil]), [Change::Any]);
        assert_eq!(told(PushKind::Message, vec![key(b"a")]), []);
    }
}
