//! `GET /api/user/openapi.json`. Schemathesis tests the API against it, see deploy/test.

use std::collections::BTreeSet;

use auth_api::openapi::ELSEWHERE;

use crate::support::{Api, send};

const PATH: &str = "/api/user/openapi.json";

#[tokio::test]
async fn the_document_is_served_and_revalidated() {
    let api = Api::new();
    let response = api.get(PATH).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "public, no-cache");
    let document = response.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, auth_api::openapi::document(auth_api::routes::routes().endpoints()));
    assert_eq!(api.get(&format!("{PATH}/")).await.json(), document);
    let etag = response.header("etag");
    let unchanged = api.get_with(PATH, &[("if-none-match", etag)]).await;
    assert_eq!((unchanged.status, unchanged.header("etag"), unchanged.bytes.len()), (304, etag, 0));
    assert_eq!(api.get_with(PATH, &[("if-none-match", "\"other\"")]).await.status, 200);
}

#[test]
fn the_public_routes_of_media_server_are_described() {
    let table = media_server::routes::public_api();
    let served: BTreeSet<_> = table
        .endpoints()
        .map(|(method, path, _)| (method.as_str(), path))
        .filter(|(_, path)| !path.ends_with('z'))
        .collect();
    let described = ELSEWHERE.iter().map(|(method, path)| (method.as_str(), *path));
    assert_eq!(served, described.filter(|(_, path)| *path != "/health").collect());
}

#[tokio::test]
async fn allow_of_every_described_path_names_its_methods() {
    let api = Api::new();
    let document = api.get(PATH).await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let response = send(api.request("OPTIONS", &path.replace(['{', '}'], ""))).await;
        let allow: BTreeSet<_> =
            response.header("allow").split(", ").filter(|name| !["HEAD", "OPTIONS"].contains(name)).collect();
        let described = operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect::<Vec<_>>();
        assert_eq!(allow, described.iter().map(String::as_str).collect(), "{path}");
    }
}
