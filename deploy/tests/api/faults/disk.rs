//! The disk that pictures lie on is full, or can only be read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{MediaServer, Scratch, drawn, is_unavailable, jpeg, until};
use image::ImageFormat;

/// A disk of a megabyte, in memory.
struct SmallDisk(Scratch);

impl SmallDisk {
    /// None where this process may not mount one.
    fn mount() -> Option<Self> {
        let directory = Scratch::new();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=1m", "none", directory.text()]);
        mounted.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        assert!(run("mount", &["-o", &format!("remount,{how}"), self.0.text()]));
    }

    /// The files in all directories.
    fn files(&self) -> Vec<PathBuf> {
        let entries = |directory: &Path| {
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let directories = entries(self.path()).into_iter().filter(|path| path.is_dir());
        directories.flat_map(|directory| entries(&directory)).collect()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.text()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn on_a_full_or_read_only_disk_an_upload_is_503_and_leaves_nothing_and_what_is_there_stays() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not run: root is needed to mount a small disk");
        return;
    };
    let server = MediaServer::start(&[("STORAGE_URL".to_owned(), format!("file://{}", disk.0.text()))]).await;
    let [old, new] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
    assert_eq!(server.put(old, &jpeg()).await.status, 201);
    let filler = disk.path().join("filler");
    let large = drawn(ImageFormat::Png, 300, 300);
    for how in ["full", "read-only"] {
        if how == "full" {
            // As much as there is place for.
            let _ = std::fs::write(&filler, vec![0; 2 * 1024 * 1024]);
        } else {
            disk.remount("ro");
        }
        is_unavailable(how, &server.put(new, &large).await);
        assert_eq!(server.get(&format!("{old}.jpg")).await.status, 200, "{how}");
        assert_eq!(server.get(&format!("{new}.png")).await.status, 404, "{how}");
        let (files, rendition) = (disk.files(), format!("{old}.512.jpg"));
        let is_of_old = |file: &PathBuf| file.ends_with(old) || file.ends_with(&rendition);
        assert!(!files.is_empty() && files.iter().all(is_of_old), "{how}: {files:?}");
        let status = server.delivering.request("GET", "/readyz").send().await.unwrap().status();
        assert_eq!(status, 503, "{how}");
        if how == "full" {
            std::fs::remove_file(&filler).unwrap();
        } else {
            disk.remount("rw");
        }
        until(how, Duration::from_secs(5), async || server.put(new, &large).await.status == 201).await;
        assert_eq!(server.delete(new).await.status, 204, "{how}");
    }
    assert!(!server.log().contains(old) && !server.log().contains(new), "a picture's id is logged");
}
