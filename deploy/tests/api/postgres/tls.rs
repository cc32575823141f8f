//! TLS to Postgres: `sslmode` and its files.

use crate::postgres::check;
use crate::support::{Certificates, PostgresNode, Replica, TestUser, auth_api_command};

fn accepts(url: &str) -> bool {
    check(url).contains("MEDIA_URL")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_requires_tls_is_used_in_every_mode_but_disable() {
    let certificates = Certificates::new();
    let server = PostgresNode::start(Some(&certificates)).await;
    let (url, ca, other_ca) = (server.url(), certificates.ca(), certificates.other_ca());
    let by_name = url.replace("127.0.0.1", "localhost");
    for url in [
        url.clone(),
        format!("{url}?sslmode=prefer"),
        format!("{url}?sslmode=require"),
        format!("{url}?sslmode=require&channel_binding=require"),
        format!("{url}?sslmode=verify-ca&sslrootcert={ca}"),
        format!("{by_name}?sslmode=verify-ca&sslrootcert={ca}"),
        format!("{url}?sslmode=verify-full&sslrootcert={ca}"),
        // A self-signed certificate, or that of the server itself, as the authority.
        format!("{url}?sslmode=verify-full&sslrootcert={}", certificates.server()[0]),
    ] {
        assert!(accepts(&url), "{url}: {}", check(&url));
    }
    for (url, part) in [
        (format!("{url}?sslmode=disable"), "no encryption"),
        (format!("{url}?sslmode=verify-full"), "certificate"),
        (format!("{url}?sslmode=verify-ca&sslrootcert={other_ca}"), "certificate"),
        // As in libpq, a given authority is verified in each mode.
        (format!("{url}?sslmode=require&sslrootcert={other_ca}"), "certificate"),
        (format!("{by_name}?sslmode=verify-full&sslrootcert={ca}"), "not valid for name"),
    ] {
        let printed = check(&url);
        assert!(printed.contains("DATABASE_URL") && printed.contains(part), "{url}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_serve_and_notifications_use_tls() {
    let certificates = Certificates::new();
    let server = PostgresNode::start(Some(&certificates)).await;
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), certificates.ca());
    let migrated = auth_api_command(&["migrate"], &[("DATABASE_URL", &url)]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let replica = Replica::start(&[("DATABASE_URL", &url)]).await;
    let user = TestUser::at(&replica.api).await;
    user.me().await.expect_status(200);
    let tls = "select count(*) filter (where ssl), count(*) from pg_stat_ssl join pg_stat_activity using (pid)
               where application_name = 'auth-api'";
    let counts = server.run(tls);
    let (with_tls, all) = counts.split_once('|').unwrap();
    assert!(with_tls == all && all.parse::<u32>().unwrap() >= 2, "{counts}");
    assert!(!replica.log().contains("no notifications"), "{}", replica.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_presented() {
    let certificates = Certificates::new();
    let server = PostgresNode::start(Some(&certificates)).await;
    server.reload_rules("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
    let [certificate, key] = certificates.client();
    let url = format!("{}?sslmode=require", server.url());
    let printed = check(&url);
    assert!(printed.contains("client certificate"), "{printed}");
    assert!(accepts(&format!("{url}&sslcert={certificate}&sslkey={key}")));
}

#[test]
fn invalid_tls_parameters_are_one_line_without_the_password() {
    let directory = std::env::temp_dir();
    let not_pem = std::env::current_exe().unwrap();
    for (name, parameters, parts) in [
        ("DATABASE_URL", "sslmode=maybe".to_owned(), ["sslmode=maybe", "verify-full"]),
        ("DATABASE_LISTEN_URL", "sslmode=maybe".to_owned(), ["sslmode=maybe", "verify-full"]),
        ("DATABASE_URL", "sslmode=verify-ca&sslrootcert=/nowhere.pem".to_owned(), ["/nowhere.pem", "No such file"]),
        ("DATABASE_URL", format!("sslrootcert={}", not_pem.display()), ["sslrootcert", "no certificate authority"]),
        ("DATABASE_URL", format!("sslrootcert={}", directory.display()), ["sslrootcert", "directory"]),
        ("DATABASE_URL", "sslcert=/nowhere.pem&sslkey=/nowhere.key".to_owned(), ["sslcert=/nowhere.pem", "PEM"]),
        ("DATABASE_URL", "sslkey=/nowhere.key".to_owned(), ["sslcert", "certificate of sslkey"]),
        ("DATABASE_URL", "unknown=1".to_owned(), ["not of that form", "postgres://"]),
    ] {
        let output =
            auth_api_command(&["check"], &[(name, &format!("postgres://users:hunter2@127.0.0.1/x?{parameters}"))]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains(name) && parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
