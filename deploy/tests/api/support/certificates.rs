//! TLS certificates of a test, made by openssl.

use std::path::Path;
use std::process::Command;

use super::Scratch;

/// A server certificate for 127.0.0.1 and a client certificate, the CA that signed them, and another CA.
pub struct Certificates(Scratch);

impl Certificates {
    pub fn new() -> Self {
        let directory = Scratch::new();
        let openssl = |line: &str| run(directory.path(), line);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["ca", "other-ca"] {
            openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"));
        }
        for name in ["redis", "client"] {
            let subject = format!("-subj /CN={name} -addext subjectAltName=IP:127.0.0.1");
            openssl(&format!("req {key} -keyout {name}.key -out {name}.csr {subject}"));
            let signed = format!("-in {name}.csr -out {name}.pem -days 2 -copy_extensions copy");
            openssl(&format!("x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial {signed}"));
        }
        Self(directory)
    }

    /// The file with the certificate of the CA.
    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// The file with the certificate of the CA that has signed nothing.
    pub fn other_ca(&self) -> String {
        self.path("other-ca.pem")
    }

    /// The files with the server's certificate and its key.
    pub fn server(&self) -> [String; 2] {
        ["redis.pem", "redis.key"].map(|name| self.path(name))
    }

    /// The lines of redis.conf for a server, a node or a Sentinel with TLS; client certificates are not required.
    pub fn redis_conf(&self) -> String {
        let [certificate, key, ca] = ["redis.pem", "redis.key", "ca.pem"].map(|name| self.path(name));
        format!(
            "tls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {ca}\ntls-auth-clients no\n\
             tls-replication yes\n"
        )
    }

    /// The files with the certificate and the key of a client.
    pub fn client(&self) -> [String; 2] {
        ["client.pem", "client.key"].map(|name| self.path(name))
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0.text())
    }
}

fn run(directory: &Path, line: &str) {
    let output = Command::new("openssl").current_dir(directory).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}
