//! Malformed, mistyped and oversized request bodies.

use serde_json::json;

use crate::support::{Api, Form, PASSWORD, Response, TestUser, jpeg, registration_form, send, stack, unique_email};

const LOGIN: &str = "/api/user/login/";
const REGISTER: &str = "/api/user/register/";

#[tokio::test]
async fn invalid_json_is_400_with_the_parse_error() {
    let api = Api::new();
    for body in [
        &b"{"[..],
        b"{\"email\": \"a\"",
        b"{\"email\": NaN}",
        b"{\"email\": 1e999}",
        b"{'email': 'a'}",
        b"{\"email\": \"\\ud800\"}",
        b"{\"x\": \"\\udc00\\ud800\"}",
        b"{\"email\": \"\xff\xfe\"}",
        b"{\"email\": \"a\"} trailing",
        b"{\"email\": \"a\", \"email\": \"b\"}",
        b"{\"x\": 1, \"x\": 2}",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        format!("{{\"x\": {}{}}}", "[".repeat(7_000), "]".repeat(7_000)).as_bytes(),
        "[".repeat(10_000).as_bytes(),
        format!("{{\"email\": {}1{}}}", "{\"a\":".repeat(2_000), "}".repeat(2_000)).as_bytes(),
    ] {
        for path in [LOGIN, REGISTER, "/api/user/refresh/"] {
            let response = api.post(path, "application/json", body.to_vec()).await;
            let detail = response.expect_status(400).json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.starts_with("JSON parse error - "), "{detail}");
        }
    }
}

#[tokio::test]
async fn json_other_than_an_object_is_400_with_its_type() {
    let api = Api::new();
    for (body, what) in [("[1]", "list"), ("\"a\"", "str"), ("1", "int"), ("1.5", "float"), ("true", "bool")] {
        let sentence = format!("Invalid data. Expected a dictionary, but got {what}.");
        for path in [LOGIN, REGISTER, "/api/user/refresh/"] {
            let response = api.post(path, "application/json", body).await;
            response.expect_field("non_field_errors", &[&sentence]);
        }
    }
}

#[tokio::test]
async fn a_malformed_form_is_400_with_the_parse_error() {
    let api = Api::new();
    let assert_form_error = |response: Response| {
        let detail = response.expect_status(400).json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("orm parse error - "), "{detail}");
    };
    let encoded = "application/x-www-form-urlencoded";
    assert_form_error(api.post(LOGIN, encoded, "email=%ff&password=x").await);
    assert_form_error(api.post(LOGIN, encoded, "email=a&email=b").await);
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x"] {
        assert_form_error(api.post(REGISTER, content_type, "--y\r\n\r\n").await);
    }
    let long = "b".repeat(1000);
    let body = format!("--{long}\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\na\r\n--{long}--\r\n");
    let response = api.post(LOGIN, &format!("multipart/form-data; boundary={long}"), body).await;
    response.expect_field("password", &["This field is required."]);
    assert_form_error(api.post_form(LOGIN, Form::new().text("email", "a").text("email", "b")).await);
    assert_form_error(
        api.post_form(LOGIN, Form::new().part("Content-Disposition: form-data; name=\"email\"", b"\xff")).await,
    );
    let (content_type, mut body) = Form::new().text("email", "a").text("password", "b").finish();
    body.truncate(body.len() - 60);
    assert_form_error(api.post(LOGIN, &content_type, body).await);
    let many = (0..5000).fold(Form::new(), |form, number| form.text(&format!("f{number}"), "x"));
    assert_form_error(api.post_form(REGISTER, many).await);
}

#[tokio::test]
async fn two_pictures_a_nameless_picture_and_a_picture_in_a_text_part_are_no_500() {
    let api = Api::new();
    let form = || registration_form(&unique_email());
    let two =
        form().file("profile_pic", "a.jpg", "image/jpeg", &jpeg()).file("profile_pic", "b.jpg", "image/jpeg", &jpeg());
    api.post_form(REGISTER, two).await.expect_status(400);
    let nameless =
        form().part("Content-Disposition: form-data; filename=\"a.jpg\"\r\nContent-Type: image/jpeg", &jpeg());
    let response = api.post_form(REGISTER, nameless).await;
    assert_eq!(response.expect_status(201).json()["profile_pic"], json!(null));
    let text = form().part("Content-Disposition: form-data; name=\"profile_pic\"\r\nContent-Type: image/jpeg", &jpeg());
    let not_a_file = "The submitted data was not a file. Check the encoding type on the form.";
    api.post_form(REGISTER, text).await.expect_field("profile_pic", &[not_a_file]);
}

#[tokio::test]
async fn an_unsupported_media_type_is_415() {
    let api = Api::new();
    for content_type in ["text/xml", "text/plain", "application/octet-stream", "application/json; charset=utf-16"] {
        let expected = json!({ "detail": format!("Unsupported media type \"{content_type}\" in request.") });
        api.post(LOGIN, content_type, "<a/>").await.expect(415, &expected);
    }
    for content_type in ["nonsense", "application/", "\u{e9}"] {
        api.post(LOGIN, content_type, "{}").await.expect_status(415);
    }
    let request = api.request("POST", LOGIN).body("{}");
    send(request).await.expect(415, &json!({ "detail": "Unsupported media type \"\" in request." }));
}

#[tokio::test]
async fn a_compressed_body_is_415() {
    let request = Api::new().request("POST", LOGIN).header("content-encoding", "gzip");
    let request = request.header("content-type", "application/json").body(&b"\x1f\x8b\x08\0\0\0\0\0"[..]);
    send(request).await.expect(415, &json!({ "detail": "Unsupported content encoding \"gzip\" in request." }));
}

#[tokio::test]
async fn an_oversized_body_is_413() {
    let api = Api::new();
    let user = TestUser::new().await;
    for bytes in [(16 << 10) + 1, 2 << 20, 11 << 20, 20 << 20] {
        for path in [LOGIN, "/api/user/refresh/", "/api/user/logout/"] {
            api.post(path, "application/json", vec![b' '; bytes]).await.expect_status(413);
        }
        let request = user.request("DELETE", "/api/user/me/").header("content-type", "application/json");
        send(request.body(vec![b' '; bytes])).await.expect_status(413);
    }
    for megabytes in [11, 20] {
        user.upload(&vec![0xff; megabytes << 20]).await.expect_status(413);
    }
    user.me().await.expect_status(200);
}

#[tokio::test]
async fn a_chunked_body_is_accepted_and_limited() {
    let user = TestUser::new().await;
    let auth_api = Api::at(&stack().auth_api);
    let chunked = |chunks: &[&str]| {
        let body = chunks.iter().fold(String::new(), |body, chunk| body + &format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        format!(
            "POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n{body}0\r\n\r\n"
        )
    };
    let body = json!({ "email": user.email, "password": PASSWORD }).to_string();
    let (first, second) = body.split_at(20);
    for api in [&user.api, &auth_api] {
        let response = api.raw(chunked(&[first, second]).as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
    let response = auth_api.raw(chunked(&[&" ".repeat(2 << 20)]).as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 413 "), "{}", &response[..response.len().min(300)]);
}

#[tokio::test]
async fn an_invalid_content_length_or_transfer_encoding_is_4xx() {
    let api = Api::new();
    for (head, body) in [
        ("Content-Length: 5", "{}{}{}{}{}"),
        ("Content-Length: -1", "{}"),
        ("Content-Length: 99999999999999999999", "{}"),
        ("Content-Length: 2\r\nContent-Length: 3", "{}"),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
    ] {
        let request = format!(
            "POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n{head}\r\n\r\n{body}"
        );
        let response = api.raw(request.as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 4"), "{head}: {response}");
        assert!(!response.contains("<html"), "{head}: {response}");
    }
}

/// Texts far above every limit; validating such a text once took seconds.
fn oversized_texts() -> [String; 3] {
    ["a".repeat(6 << 20), "例え.".repeat(1 << 19), format!("ann@{}com", "例え.".repeat(1 << 19))]
}

fn percent_encoded(text: &str) -> String {
    let letter =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

#[tokio::test]
async fn a_field_of_megabytes_violates_only_its_length_limit_in_every_body_format() {
    let user = TestUser::new().await;
    let too_long = |chars_max: u32| json!([format!("Ensure this field has no more than {chars_max} characters.")]);
    let password = "p".repeat(1024);
    for text in oversized_texts() {
        let json = json!({ "email": text, "full_name": text, "password": password }).to_string();
        let letters = percent_encoded(&text);
        let encoded = format!("email={letters}&full_name={letters}&password={password}");
        let form = Form::new().text("email", &text).text("full_name", &text).text("password", &password);
        let (multipart, form) = form.finish();
        for (content_type, body) in [
            ("application/json", json.into_bytes()),
            ("application/x-www-form-urlencoded", encoded.into_bytes()),
            (multipart.as_str(), form),
        ] {
            for (method, path) in [("POST", REGISTER), ("PUT", "/api/user/update/"), ("PATCH", "/api/user/update/")] {
                let request = user.request(method, path).header("content-type", content_type);
                let response = send(request.body(body.clone())).await;
                // Percent-encoding triples the size: nginx may refuse the body first.
                if response.status != 413 || content_type != "application/x-www-form-urlencoded" {
                    response.expect(400, &json!({ "email": too_long(254), "full_name": too_long(255) }));
                }
            }
        }
    }
    user.me().await.expect_status(200);
}

#[tokio::test]
async fn a_message_repeats_at_most_100_characters_of_a_key() {
    let key = "k".repeat(4 << 20);
    let response = Api::new().post(REGISTER, "application/json", format!("{{\"{key}\": 1, \"{key}\": 2}}")).await;
    let detail = response.expect_status(400).json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.starts_with(&format!("JSON parse error - the key \"{}\"", "k".repeat(100))), "{detail}");
    assert!(detail.len() < 200, "{} bytes", detail.len());
}
