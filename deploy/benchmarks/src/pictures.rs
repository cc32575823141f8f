//! Pictures, a media-server with a front of its own to measure them on, and an nginx that gives the same files.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use deploy::{Front, RedisServer};
use image::DynamicImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use shared::random::Random;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::client::{Client, address};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::process::ends_with_us;

/// A photograph of Debian's package `mate-backgrounds`, of 18 megapixels.
const PHOTOGRAPH: &str = "/usr/share/backgrounds/mate/abstract/Elephants_5640x3172.jpg";

/// How long a server may take to start.
const READY_WITHIN: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// What pictures are measured with. Its processes end when it is dropped.
#[derive(Debug)]
pub struct Pictures {
    /// A JPEG of 12 megapixels.
    pub large: Bytes,
    /// A JPEG of about 40 kB.
    pub small: Bytes,
    directory: PathBuf,
    // The front first: what is behind it goes after it.
    front: Front,
    server: MediaServer,
    nginx: OnceCell<Nginx>,
}

impl Pictures {
    /// Makes the pictures, and starts a media-server with its state in `directory`, behind an nginx as `deployment` has one.
    pub fn start(runtime: &Runtime, deployment: &Deployment, directory: &Path) -> Result<Self, Error> {
        make(directory)?;
        let large = kept(&directory.join(LARGE_FILE), || jpeg(&photograph()?, LARGE_QUALITY))?;
        let small = kept(&directory.join("small.jpg"), || {
            let (width, height) = SMALL_SIDES;
            jpeg(&photograph()?.resize_exact(width, height, FilterType::CatmullRom), SMALL_QUALITY)
        })?;
        let server = MediaServer::start(runtime, &directory.join("media-server"))?;
        let auth_api = address(&deployment.stack()?.env().auth_api)?;
        let front = deployment.stack()?.front("nginx-pictures", auth_api, address(&server.base)?)?;
        Ok(Self { large, small, directory: directory.to_owned(), front, server, nginx: OnceCell::new() })
    }

    /// The media-server.
    pub fn server(&self) -> &MediaServer {
        &self.server
    }

    /// Where nginx answers for it.
    pub fn front(&self) -> &str {
        self.front.base()
    }

    /// One more media-server, which has stored nothing yet.
    pub fn another_server(&self, runtime: &Runtime) -> Result<MediaServer, Error> {
        MediaServer::start(runtime, &self.directory.join("another-media-server"))
    }

    /// An nginx that gives these bytes as the file `name`, a new one: it keeps files open. Where it answers.
    pub fn given_by_nginx(&self, name: &str, bytes: &[u8]) -> Result<&str, Error> {
        let nginx = if let Some(started) = self.nginx.get() {
            started
        } else {
            let started = Nginx::start(&self.directory.join("nginx"))?;
            self.nginx.get_or_init(|| started)
        };
        let file = nginx.files.join(name);
        fs::write(&file, bytes).map_err(Error::file(&file))?;
        Ok(&nginx.base)
    }

    /// The same 12 megapixels in about 9 MB, near the limit of an upload.
    pub fn heavy(&self) -> Result<Bytes, Error> {
        kept(&self.directory.join("heavy.jpg"), || jpeg(&photograph()?, HEAVY_QUALITY))
    }

    /// [`Pictures::large`] as a file.
    pub fn large_file(&self) -> PathBuf {
        self.directory.join(LARGE_FILE)
    }

    /// Where a row may put files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

const LARGE_FILE: &str = "large.jpg";

/// As cameras have them: 3 MB.
const LARGE_QUALITY: u8 = 85;

const HEAVY_QUALITY: u8 = 97;

/// Of these sides and in this quality the photograph has about 40 kB.
const SMALL_SIDES: (u32, u32) = (400, 300);
const SMALL_QUALITY: u8 = 75;

/// The middle 12 megapixels of the photograph.
fn photograph() -> Result<DynamicImage, Error> {
    let path = Path::new(PHOTOGRAPH);
    let whole = fs::read(path).map_err(Error::file(path))?;
    Ok(image::load_from_memory(&whole).map_err(Error::client)?.crop_imm(820, 86, 4000, 3000))
}

/// A picture as a JPEG.
fn jpeg(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).map_err(Error::client)?;
    Ok(bytes)
}

/// What is in `file`; made once.
pub fn kept(file: &Path, make: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<Bytes, Error> {
    if !file.exists() {
        fs::write(file, make()?).map_err(Error::file(file))?;
    }
    Ok(fs::read(file).map_err(Error::file(file))?.into())
}

/// A media-server without the rest of a stack. Dropping it kills it and removes what it has stored.
#[derive(Debug)]
pub struct MediaServer {
    process: Child,
    directory: PathBuf,
    secret: String,
    /// Where it delivers.
    pub base: String,
    /// Where it stores and deletes.
    pub writing: String,
}

impl MediaServer {
    fn start(runtime: &Runtime, directory: &Path) -> Result<Self, Error> {
        // What a run that was killed has left.
        let _ = fs::remove_dir_all(directory);
        let (pictures, secret_file, log) =
            (directory.join("pictures"), directory.join("secret"), directory.join("log"));
        make(&pictures)?;
        let secret = hex::encode(Random::system().bytes::<16>());
        fs::write(&secret_file, &secret).map_err(Error::file(&secret_file))?;
        let [listen, write_listen] = [local(RedisServer::free_port()?), local(RedisServer::free_port()?)];
        let own = std::env::current_exe().map_err(Error::file("the running program"))?;
        let process = ends_with_us(&own.with_file_name("media-server"))
            .arg("serve")
            .envs([("LISTEN", &listen), ("WRITE_LISTEN", &write_listen)])
            .env("STORAGE_URL", format!("file://{}", pictures.display()))
            .env("MEDIA_SECRET_FILE", &secret_file)
            .env("LOG_FORMAT", "json")
            .stdout(File::create(&log).map_err(Error::file(&log))?)
            .spawn()
            .map_err(Error::file("setpriv"))?;
        let [base, writing] = [listen, write_listen].map(|address| format!("http://{address}"));
        let server = Self { process, directory: directory.to_owned(), secret, base, writing };
        until_ready(&log, || runtime.block_on(server.is_ready()))?;
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let asking = async { Client::connect(&self.base).await?.get("/readyz", "").await };
        asking.await.is_ok_and(|answer| answer.status().is_success())
    }

    /// What a client that stores shows.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A name for a picture that no other has.
#[must_use]
pub fn new_id() -> String {
    hex::encode(Random::system().bytes::<16>())
}

/// The limit of a picture: nginx giving files of a directory. Dropping it kills it.
#[derive(Debug)]
struct Nginx {
    process: Child,
    files: PathBuf,
    base: String,
}

impl Nginx {
    fn start(directory: &Path) -> Result<Self, Error> {
        let files = directory.join("files");
        make(&files)?;
        let listen = local(RedisServer::free_port()?);
        let (configuration, log) = (directory.join("nginx.conf"), directory.join("log"));
        fs::write(&configuration, configuration_of(&listen)).map_err(Error::file(&configuration))?;
        let process = ends_with_us(Path::new("nginx"))
            .arg("-p")
            .arg(directory.join(""))
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stderr(File::create(&log).map_err(Error::file(&log))?)
            .spawn()
            .map_err(Error::file("setpriv"))?;
        let nginx = Self { process, files, base: format!("http://{listen}") };
        until_ready(&log, || std::net::TcpStream::connect(&listen).is_ok())?;
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself. Asked to, it ends its workers, too.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// As nginx gives a file by sendfile: no log, from the kernel's memory, with the file kept open.
fn configuration_of(listen: &str) -> String {
    // Started by root, it would take another account for its workers, which may not read the files.
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
            let said = fs::read_to_string(log).unwrap_or_default();
            return Err(Error::Client(format!("no server in {} s: {said}", READY_WITHIN.as_secs())));
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
