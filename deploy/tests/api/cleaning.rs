//! What exiftool finds in a picture before it is uploaded, and in what is delivered of it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use image::ImageFormat;
use serde_json::{Map, Value};

use crate::support::{Api, Form, Person, drawn};

const PHOTOGRAPHS: &str = "/usr/share/backgrounds/mate";

/// Runs exiftool on `picture`, which it reads from its standard input as `-`.
fn exiftool(arguments: &[&str], picture: &[u8]) -> Vec<u8> {
    let mut process = Command::new("exiftool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("install Debian's libimage-exiftool-perl: it says what is in a picture");
    let mut input = process.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(picture).unwrap());
        process.wait_with_output().unwrap().stdout
    })
}

/// All that exiftool finds: `group:tag` and value, embedded pictures and unknown tags included.
fn tags(picture: &[u8]) -> Map<String, Value> {
    let json = exiftool(&["-json", "-G1", "-a", "-u", "-ee", "-n", "-"], picture);
    let Value::Array(mut files) = serde_json::from_slice(&json).unwrap() else { panic!("no list") };
    let Some(Value::Object(tags)) = files.pop() else { panic!("no picture") };
    tags
}

/// A drawn picture with all that exiftool can write into its format.
fn tagged(format: ImageFormat) -> Vec<u8> {
    let profile_of = format!("{PHOTOGRAPHS}/desktop/Float-into-MATE.png");
    let notes_of = format!("{PHOTOGRAPHS}/abstract/Elephants_3840x2160.jpg");
    let thumbnail = format!("-ThumbnailImage<={PHOTOGRAPHS}/nature/FreshFlower.jpg");
    let notes = ["-tagsFromFile", &notes_of, "-MakerNotes", "-SerialNumber", "-LensModel"];
    let profile = ["-tagsFromFile", &profile_of, "-ICC_Profile"];
    let place = ["-GPSLatitude=48.2082", "-GPSLatitudeRef=N", "-GPSLongitude=16.3738", "-GPSLongitudeRef=E"];
    let camera =
        ["-Make=Canon", "-Model=Ann's camera", "-DateTimeOriginal=2026:01:02 03:04:05", "-Orientation#=6", &thumbnail];
    let author =
        ["-Artist=Ann", "-XMP-dc:Creator=Ann", "-IPTC:By-line=Ann", "-Photoshop:SlicesGroupName=Ann", "-Comment=Ann"];
    let arguments = [&notes[..], &profile, &place, &camera, &author, &["-o", "-", "-"]].concat();
    let picture = exiftool(&arguments, &drawn(format, 64, 48));
    assert!(!picture.is_empty(), "exiftool wrote nothing into {format:?}");
    picture
}

/// What describes the file, its structure and its colours, and nobody.
fn is_harmless(tag: &str) -> bool {
    let (group, name) = tag.split_once(':').unwrap_or((tag, ""));
    match group {
        "SourceFile" | "ExifTool" | "System" | "JFIF" | "GIF" | "RIFF" => name != "Comment",
        "File" => !matches!(name, "Comment" | "CurrentIPTCDigest"),
        "PNG" => !matches!(name, "Comment" | "Artist" | "Make" | "Model" | "DateTimeOriginal" | "ModifyDate"),
        "Composite" => matches!(name, "ImageSize" | "Megapixels"),
        "IFD0" => name == "Orientation",
        group => group.starts_with("ICC"),
    }
}

async fn delivered(picture: &[u8]) -> Vec<u8> {
    let link = Person::with_picture(&Api::new(), picture).await.picture().await.unwrap();
    let answer = Api::new().get(&link).await;
    assert_eq!(answer.status, 200);
    answer.bytes
}

#[tokio::test]
async fn nothing_about_a_person_leaves_in_a_picture() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let mut picture = tagged(format);
        if format == ImageFormat::Jpeg {
            picture = with_second_picture(&picture);
        }
        let before = tags(&picture);
        let told = before.keys().filter(|tag| !is_harmless(tag)).count();
        assert!(told >= if format == ImageFormat::Gif { 10 } else { 20 }, "{format:?} bears {told} tags: {before:?}");

        let clean = delivered(&picture).await;
        let after = tags(&clean);
        let left: Vec<_> = after.keys().filter(|tag| !is_harmless(tag)).collect();
        assert!(left.is_empty(), "{format:?} still tells {left:?}");
        assert!(pixels(&clean) == pixels(&picture), "{format:?}: the pixels changed");
        if format != ImageFormat::Gif {
            assert_eq!(after["IFD0:Orientation"], 6, "{format:?}");
            // What defines colours stays; free text, dates and devices do not.
            let colour = "ICC_Profile:RedMatrixColumn";
            assert!(before.contains_key(colour) && after[colour] == before[colour], "{format:?}: {after:?}");
            for text in ["ICC_Profile:ProfileDescription", "ICC_Profile:ProfileCopyright"] {
                // ICC.1 requires both tags; without content exiftool shows them as empty, or not at all.
                let is_gone = after.get(text).is_none_or(|left| left == "");
                assert!(before.contains_key(text) && is_gone, "{format:?} still has {text}: {:?}", after.get(text));
            }
        }
        assert!(delivered(&clean).await == clean, "{format:?}: what is clean is not changed");
    }
}

fn pixels(bytes: &[u8]) -> image::DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

/// The way of phones: an index of pictures (CIPA DC-007), and the second one after the end of the first.
fn with_second_picture(first: &[u8]) -> Vec<u8> {
    let second = tagged(ImageFormat::Jpeg);
    let mut index =
        b"MPF\0MM\0\x2a\0\0\0\x08\0\x02\xb0\0\0\x07\0\0\0\x040100\xb0\x01\0\x04\0\0\0\x01\0\0\0\x02".to_vec();
    index.extend_from_slice(&[0; 4]);
    let length = u16::try_from(index.len() + 2).unwrap().to_be_bytes();
    let (start, rest) = first.split_at(2);
    [start, b"\xff\xe2", &length, &index, rest, &second].concat()
}

#[tokio::test]
async fn what_is_after_or_around_a_picture_is_not_delivered() {
    let payload = b"<html><script>alert(1)</script>PK\x03\x04 %PDF-1.7 #!/bin/sh";
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let whole = drawn(format, 64, 48);
        let clean = delivered(&[&whole, &payload[..]].concat()).await;
        assert!(clean == whole, "{format:?}: what followed is delivered");
    }
}

#[tokio::test]
async fn a_jpeg_that_was_cut_and_ended_anew_is_refused() {
    let person = Person::new().await;
    let whole = drawn(ImageFormat::Jpeg, 64, 48);
    let cut = [&whole[..whole.len() * 3 / 4], b"\xff\xd9"].concat();
    let form = Form::new().file("profile_pic", "a.jpg", "image/jpeg", &cut);
    let answer = person.api.put_form("/api/user/update/", &person.access, form).await;
    answer.expect_field("profile_pic", &[crate::pictures::NOT_A_PICTURE]);
}
