use std::sync::mpsc::channel;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::fields::TEXT_BYTES_MAX;
use super::*;
use crate::domain::{FieldValue, PictureValue};

fn body(content_type: &str, bytes: impl Into<Bytes>) -> BufferedBody {
    BufferedBody::unbudgeted(bytes.into(), content_type)
}

fn parser(queue_max: usize) -> FormParser {
    let config = WorkersConfig { threads: 1, queue_max, queue_timeout: Duration::from_mins(1) };
    let limits = BodyLimits::new(0, Duration::from_mins(1));
    FormParser { limits, workers: Workers::start("parsing", Priority::Low, &config, || ()).unwrap() }
}

/// One `email` of this many letters, in each type of body.
fn bodies(letters: usize) -> [BufferedBody; 3] {
    let text = "a".repeat(letters);
    let multipart = format!("--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\n{text}\r\n--b--\r\n");
    [
        body("application/json", format!("{{\"email\":\"{text}\"}}")),
        body("application/x-www-form-urlencoded", format!("email={text}")),
        body("multipart/form-data; boundary=b", multipart),
    ]
}

#[tokio::test]
async fn oversized_text_is_dropped_while_parsing() {
    let parser = parser(1);
    for letters in [1, TEXT_BYTES_MAX, TEXT_BYTES_MAX + 1, 13 << 20] {
        for body in bodies(letters) {
            let content_type = body.content_type.clone();
            let fields = parser.parse(body, &["email"]).await.unwrap();
            let text = "a".repeat(letters);
            let expected = if letters > TEXT_BYTES_MAX { FieldValue::TooLong } else { FieldValue::Text(&text) };
            assert!(fields.text("email") == expected, "{letters} letters as {content_type}");
        }
    }
}

#[tokio::test]
async fn long_base64_picture_is_decoded_while_parsing() {
    use base64::Engine as _;
    let picture: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&picture);
    let sent = body("application/json", format!("{{\"profile_pic\":\"{encoded}\"}}"));
    let fields = parser(1).parse(sent, &[PICTURE]).await.unwrap();
    assert!(matches!(fields.picture(), PictureValue::File(bytes) if bytes == picture));
}

#[tokio::test]
async fn large_body_is_parsed_on_workers_with_a_bounded_queue() {
    let parser = parser(1);
    let ((release, released), (entered, is_entered)) = (channel::<()>(), tokio::sync::oneshot::channel());
    let mut blocked = Box::pin(parser.workers.run(move |()| entered.send(()).is_ok() && released.recv().is_ok()));
    assert!((&mut blocked).now_or_never().is_none());
    is_entered.await.unwrap();
    for small in bodies(100) {
        parser.parse(small, &["email"]).now_or_never().expect("parsed at once, on this thread").unwrap();
    }
    let mut queued = Vec::new();
    for large in bodies(INLINE_BYTES_MAX) {
        let mut parsing = Box::pin(parser.parse(large, &["email"]));
        match (&mut parsing).now_or_never() {
            None => queued.push(parsing),
            Some(result) => assert!(matches!(result, Err(Error::Busy(Overload::QueueFull)))),
        }
    }
    assert_eq!(queued.len(), 1, "the thread is busy, and the queue holds one");
    release.send(()).unwrap();
    assert_eq!(blocked.await, Ok(true));
    for parsing in queued {
        assert_eq!(parsing.await.unwrap().text("email"), FieldValue::TooLong);
    }
}

#[tokio::test]
async fn message_quotes_at_most_100_characters_of_a_key() {
    let key = "é".repeat(1 << 20);
    let sent = body("application/json", format!("{{\"{key}\": 1, \"{key}\": 2}}"));
    let Err(Error::Request(problem)) = parser(1).parse(sent, &["email"]).await else { panic!("accepted") };
    let detail = format!("{problem:?}");
    assert!(detail.contains(&"é".repeat(100)) && !detail.contains(&"é".repeat(101)));
}

#[tokio::test]
async fn part_with_a_long_header_is_rejected() {
    for (letters, is_accepted) in [(100, true), (8 << 10, false), (1 << 20, false)] {
        for first in ["", "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na\r\n"] {
            let name = "\\\"".repeat(letters / 2);
            let multipart =
                format!("{first}--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\na\r\n--b--\r\n");
            let sent = body("multipart/form-data; boundary=b", multipart);
            assert_eq!(parser(1).parse(sent, &["email"]).await.is_ok(), is_accepted, "{letters} letters");
        }
    }
}
