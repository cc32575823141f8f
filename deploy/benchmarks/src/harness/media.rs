//! Test pictures, a media-server behind an nginx, and an nginx that serves the same bytes as files.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use deploy::{Gateway, Process, ports, programs};
use image::DynamicImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use shared::random::Random;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::deployment::Deployment;
use crate::harness::http_client::{HttpClient, address};

/// A photograph of 18 megapixels in Debian's package `mate-backgrounds`.
const PHOTOGRAPH: &str = "/usr/share/backgrounds/mate/abstract/Elephants_5640x3172.jpg";

/// Timeout of a server's start.
const READY_WITHIN: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// Test pictures and the servers that they are measured on. Dropping it ends the servers.
#[derive(Debug)]
pub struct MediaFixture {
    /// A JPEG of 12 megapixels.
    pub large: Bytes,
    /// A JPEG of about 40 kB.
    pub small: Bytes,
    directory: PathBuf,
    // Dropped before its upstream.
    gateway: Gateway,
    server: MediaServerProcess,
    file_server: OnceCell<FileServer>,
}

impl MediaFixture {
    /// Creates the pictures, and starts a media-server with its state in `directory` behind an nginx like `deployment`'s.
    pub fn start(runtime: &Runtime, deployment: &Deployment, directory: &Path) -> Result<Self, Error> {
        make(directory)?;
        let large = cached(&directory.join(LARGE_FILE), || jpeg(&photograph()?, LARGE_QUALITY))?;
        let small = cached(&directory.join("small.jpg"), || {
            let (width, height) = SMALL_SIDES;
            jpeg(&photograph()?.resize_exact(width, height, FilterType::CatmullRom), SMALL_QUALITY)
        })?;
        let server = MediaServerProcess::start(runtime, &directory.join("media-server"))?;
        let auth_api = address(&deployment.stack()?.env().auth_api)?;
        let gateway = deployment.stack()?.gateway("nginx-pictures", auth_api, address(&server.base)?)?;
        Ok(Self { large, small, directory: directory.to_owned(), gateway, server, file_server: OnceCell::new() })
    }

    /// Returns the media-server.
    pub fn server(&self) -> &MediaServerProcess {
        &self.server
    }

    /// Returns the base URL of its nginx.
    pub fn nginx(&self) -> &str {
        self.gateway.base()
    }

    /// Starts another media-server with empty storage.
    pub fn empty_server(&self, runtime: &Runtime) -> Result<MediaServerProcess, Error> {
        MediaServerProcess::start(runtime, &self.directory.join("another-media-server"))
    }

    /// Serves `bytes` from an nginx as the file `name`, which must be new: nginx caches open files. Returns its base URL.
    pub fn serve_file(&self, name: &str, bytes: &[u8]) -> Result<&str, Error> {
        let server = if let Some(started) = self.file_server.get() {
            started
        } else {
            let started = FileServer::start(&self.directory.join("nginx"))?;
            self.file_server.get_or_init(|| started)
        };
        let file = server.files.join(name);
        fs::write(&file, bytes).map_err(Error::file(&file))?;
        Ok(&server.base)
    }

    /// Returns the same 12 megapixels in about 9 MB, near the upload limit.
    pub fn heavy(&self) -> Result<Bytes, Error> {
        cached(&self.directory.join("heavy.jpg"), || jpeg(&photograph()?, HEAVY_QUALITY))
    }

    /// Returns the path of [`MediaFixture::large`].
    pub fn large_file(&self) -> PathBuf {
        self.directory.join(LARGE_FILE)
    }

    /// Returns a directory for files of rows.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

const LARGE_FILE: &str = "large.jpg";

/// Typical of cameras: 3 MB.
const LARGE_QUALITY: u8 = 85;

const HEAVY_QUALITY: u8 = 97;

/// Width and height; with the quality below the file has about 40 kB.
const SMALL_SIDES: (u32, u32) = (400, 300);
const SMALL_QUALITY: u8 = 75;

/// Returns the center 12 megapixels of the photograph.
fn photograph() -> Result<DynamicImage, Error> {
    let path = Path::new(PHOTOGRAPH);
    let whole = fs::read(path).map_err(Error::file(path))?;
    Ok(image::load_from_memory(&whole).map_err(Error::client)?.crop_imm(820, 86, 4000, 3000))
}

/// Encodes a picture as JPEG.
fn jpeg(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).map_err(Error::client)?;
    Ok(bytes)
}

/// Returns the content of `file`, which `make` creates if it is missing.
pub fn cached(file: &Path, make: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<Bytes, Error> {
    if !file.exists() {
        fs::write(file, make()?).map_err(Error::file(file))?;
    }
    Ok(fs::read(file).map_err(Error::file(file))?.into())
}

/// A media-server without a stack. Dropping it kills it and removes its storage.
#[derive(Debug)]
pub struct MediaServerProcess {
    process: Process,
    directory: PathBuf,
    secret: String,
    /// Base URL of the public listener.
    pub base: String,
    /// Base URL of the internal listener, which takes uploads.
    pub internal: String,
}

impl MediaServerProcess {
    fn start(runtime: &Runtime, directory: &Path) -> Result<Self, Error> {
        // Left behind by a killed run.
        let _ = fs::remove_dir_all(directory);
        let (pictures, secret_file, log) =
            (directory.join("pictures"), directory.join("secret"), directory.join("log"));
        make(&pictures)?;
        let secret = hex::encode(Random::system().bytes::<16>());
        fs::write(&secret_file, &secret).map_err(Error::file(&secret_file))?;
        let [listen, internal_listen] = [local(ports::free()?), local(ports::free()?)];
        let own = std::env::current_exe().map_err(Error::file("the running program"))?;
        let mut command = Process::command(own.with_file_name("media-server"), "KILL");
        command
            .arg("serve")
            .envs([("LISTEN", &listen), ("WRITE_LISTEN", &internal_listen)])
            .env("STORAGE_URL", format!("file://{}", pictures.display()))
            .env("MEDIA_SECRET_FILE", &secret_file)
            .env("LOG_FORMAT", "json")
            .stdout(File::create(&log).map_err(Error::file(&log))?);
        let process = Process::start("media-server", command)?;
        let [base, internal] = [listen, internal_listen].map(|address| format!("http://{address}"));
        let server = Self { process, directory: directory.to_owned(), secret, base, internal };
        until_ready(&log, || runtime.block_on(server.is_ready()))?;
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let response = async { HttpClient::connect(&self.base).await?.get("/readyz", "").await };
        response.await.is_ok_and(|response| response.status().is_success())
    }

    /// Returns the secret that authenticates uploads.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Returns its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }
}

impl Drop for MediaServerProcess {
    fn drop(&mut self) {
        self.process.kill();
        // What remains is removed by the next start.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns a unique id for a picture.
#[must_use]
pub fn new_id() -> String {
    hex::encode(Random::system().bytes::<16>())
}

/// An nginx that serves files: the baseline of a picture. Dropping it kills it.
#[derive(Debug)]
struct FileServer {
    _process: Process,
    files: PathBuf,
    base: String,
}

impl FileServer {
    fn start(directory: &Path) -> Result<Self, Error> {
        let files = directory.join("files");
        make(&files)?;
        let listen = local(ports::free()?);
        let (configuration, log) = (directory.join("nginx.conf"), directory.join("log"));
        fs::write(&configuration, configuration_of(&listen)).map_err(Error::file(&configuration))?;
        let mut command = Process::command(programs::find("nginx")?, "TERM");
        command
            .arg("-p")
            .arg(directory.join(""))
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stderr(File::create(&log).map_err(Error::file(&log))?);
        let process = Process::start("nginx", command)?;
        until_ready(&log, || std::net::TcpStream::connect(&listen).is_ok())?;
        Ok(Self { _process: process, files, base: format!("http://{listen}") })
    }
}

/// Returns the fastest configuration for files: sendfile, no log, files kept open.
fn configuration_of(listen: &str) -> String {
    // As root, nginx would run its workers as another account, which may not read the files.
    let user = if rustix::process::getuid().is_root() { "user root root;\n" } else { "" };
    let temporary =
        ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"].map(|name| format!("{name}_temp_path {name};\n"));
    format!(
        "{user}daemon off;\npid nginx.pid;\nerror_log stderr warn;\nworker_processes auto;\nworker_rlimit_nofile 16384;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n{}access_log off;\ndefault_type image/jpeg;\nsendfile on;\n\
         tcp_nodelay on;\nopen_file_cache max=64 inactive=30s;\nopen_file_cache_valid 30s;\n\
         server {{ listen {listen}; root files; }}\n}}\n",
        temporary.concat()
    )
}

fn until_ready(log: &Path, mut is_ready: impl FnMut() -> bool) -> Result<(), Error> {
    let since = Instant::now();
    while !is_ready() {
        if since.elapsed() > READY_WITHIN {
            let log = fs::read_to_string(log).unwrap_or_default();
            return Err(Error::Client(format!("server not ready after {} s: {log}", READY_WITHIN.as_secs())));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::file(directory))
}
