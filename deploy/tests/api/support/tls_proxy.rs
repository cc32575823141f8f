//! A proxy that terminates TLS in front of a stack: nginx or HAProxy, configured as in docs/operations.md.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use super::{Api, Certificates, Process, Scratch, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A running proxy; dropping it kills it.
pub struct TlsProxy {
    /// As clients use it: `https://127.0.0.1:PORT`.
    pub base: String,
    certificates: Certificates,
    _process: Process,
}

impl TlsProxy {
    /// nginx, which connects to `upstream` from `address`.
    pub async fn nginx(upstream: &str, address: Ipv4Addr) -> Self {
        Self::start(|certificates, directory, port| {
            let [certificate, key] = certificates.server();
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};\n"));
            let config = format!(
                "user root;\ndaemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n{}access_log off;\n\
                 client_max_body_size 0;\nserver {{\n\
                 listen 127.0.0.1:{port} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};\n\
                 location / {{\nproxy_pass {upstream};\nproxy_bind {address};\nproxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n\
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\nproxy_set_header X-Forwarded-Proto $scheme;\n\
                 proxy_set_header X-Forwarded-Host $http_host;\nproxy_set_header X-Forwarded-Port $server_port;\n}}\n}}\n}}\n",
                temporary.concat()
            );
            let mut command = Command::new("nginx");
            let prefix = format!("{}/", directory.text());
            command.args(["-p", &prefix, "-e", "stderr", "-c", &directory.write("nginx.conf", &config)]);
            command
        })
        .await
    }

    /// HAProxy, which sends the forwarding headers and connects to `upstream` from `address`.
    pub async fn haproxy(upstream: &str, address: Ipv4Addr) -> Self {
        let frontend = "option forwardfor\nhttp-request set-header X-Forwarded-Proto https\n\
                        http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
                        http-request set-header X-Forwarded-Port %[dst_port]";
        Self::start_haproxy("http", frontend, upstream, &format!("source {address}")).await
    }

    /// HAProxy, which forwards bytes with a PROXY protocol header and connects to `upstream` from `address`.
    pub async fn haproxy_with_proxy_protocol(upstream: &str, address: Ipv4Addr) -> Self {
        Self::start_haproxy("tcp", "", upstream, &format!("source {address} send-proxy-v2")).await
    }

    async fn start_haproxy(mode: &str, frontend: &str, upstream: &str, server: &str) -> Self {
        Self::start(|certificates, directory, port| {
            let pem = certificates.server().map(|file| std::fs::read_to_string(file).unwrap()).concat();
            let pem = directory.write("server.pem", &pem);
            let upstream = upstream.trim_start_matches("http://");
            let config = format!(
                "defaults\nmode {mode}\ntimeout connect 5s\ntimeout client 60s\ntimeout server 60s\n\
                 frontend https\nbind 127.0.0.1:{port} ssl crt {pem}\n{frontend}\ndefault_backend users\n\
                 backend users\nserver users {upstream} {server}\n"
            );
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", &directory.write("haproxy.cfg", &config)]);
            command
        })
        .await
    }

    async fn start(command: impl FnOnce(&Certificates, &Scratch, u16) -> Command) -> Self {
        let (certificates, directory, port) = (Certificates::new(), Scratch::new(), deploy::ports::free().unwrap());
        let mut command = command(&certificates, &directory, port);
        let process = Process::start(&mut command, directory);
        let proxy = Self { base: format!("https://127.0.0.1:{port}"), certificates, _process: process };
        let api = proxy.client(Ipv4Addr::LOCALHOST);
        let is_ready = async || api.request("GET", "/health").send().await.is_ok();
        wait_until("the proxy responds", READY_WITHIN, is_ready).await;
        proxy
    }

    /// A client with this address, which verifies the proxy's certificate.
    pub fn client(&self, address: Ipv4Addr) -> Api {
        Api::over_tls(&self.base, address, &self.certificates.ca())
    }
}
