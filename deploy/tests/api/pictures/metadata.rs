//! Metadata stripping, verified with exiftool: before the upload and after delivery.

use std::io::Write as _;
use std::process::{Command, Stdio};

use image::ImageFormat;
use serde_json::{Map, Value};

use super::{NOT_A_PICTURE, link_of};
use crate::support::{Api, PHOTOGRAPHS, TestUser, drawn, pixels};

const FORMATS: [ImageFormat; 4] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];

/// Runs exiftool, which reads `picture` as `-` from its standard input.
fn exiftool(arguments: &[&str], picture: &[u8]) -> Vec<u8> {
    let mut process = Command::new("exiftool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("install Debian's libimage-exiftool-perl");
    let mut input = process.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(picture).unwrap());
        process.wait_with_output().unwrap().stdout
    })
}

/// All tags that exiftool finds, as `group:tag`; embedded pictures and unknown tags included.
fn tags(picture: &[u8]) -> Map<String, Value> {
    let json = exiftool(&["-json", "-G1", "-a", "-u", "-ee", "-n", "-"], picture);
    let Value::Array(mut files) = serde_json::from_slice(&json).unwrap() else { panic!("no list") };
    let Some(Value::Object(tags)) = files.pop() else { panic!("no picture") };
    tags
}

/// A drawn picture with all metadata that exiftool can write into its format.
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

/// Whether a tag describes the file, its structure or its colors, and no person.
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
    let response = Api::new().get(&link_of(picture).await).await;
    assert_eq!(response.status, 200);
    response.bytes
}

#[tokio::test]
async fn personal_metadata_is_stripped_and_colors_and_orientation_stay() {
    for format in FORMATS {
        let mut picture = tagged(format);
        if format == ImageFormat::Jpeg {
            picture = with_second_picture(&picture);
        }
        let before = tags(&picture);
        let personal = before.keys().filter(|tag| !is_harmless(tag)).count();
        let personal_min = if format == ImageFormat::Gif { 10 } else { 20 };
        assert!(personal >= personal_min, "{format:?} has {personal} such tags: {before:?}");

        let stripped = delivered(&picture).await;
        let after = tags(&stripped);
        let left: Vec<_> = after.keys().filter(|tag| !is_harmless(tag)).collect();
        assert!(left.is_empty(), "{format:?} still has {left:?}");
        assert!(pixels(&stripped) == pixels(&picture), "{format:?}: the pixels changed");
        if format != ImageFormat::Gif {
            assert_eq!(after["IFD0:Orientation"], 6, "{format:?}");
            // The profile keeps what defines colors, and loses texts, dates and devices.
            let color = "ICC_Profile:RedMatrixColumn";
            assert!(before.contains_key(color) && after[color] == before[color], "{format:?}: {after:?}");
            for text in ["ICC_Profile:ProfileDescription", "ICC_Profile:ProfileCopyright"] {
                // ICC.1 requires both tags; without content exiftool shows them as empty, or not at all.
                let is_gone = after.get(text).is_none_or(|left| left == "");
                assert!(before.contains_key(text) && is_gone, "{format:?} still has {text}: {:?}", after.get(text));
            }
        }
        assert!(delivered(&stripped).await == stripped, "{format:?}: stripping is idempotent");
    }
}

/// Appends a second picture after the first, with an index of both (CIPA DC-007), as phones do.
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
async fn data_after_the_end_of_a_picture_is_not_delivered() {
    let payload = b"<html><script>alert(1)</script>PK\x03\x04 %PDF-1.7 #!/bin/sh";
    for format in FORMATS {
        let whole = drawn(format, 64, 48);
        assert!(delivered(&[&whole, &payload[..]].concat()).await == whole, "{format:?}: the payload is delivered");
    }
}

#[tokio::test]
async fn a_truncated_jpeg_with_a_new_eoi_marker_is_rejected() {
    let whole = drawn(ImageFormat::Jpeg, 64, 48);
    let cut = [&whole[..whole.len() * 3 / 4], b"\xff\xd9"].concat();
    TestUser::new().await.upload(&cut).await.expect_field("profile_pic", &[NOT_A_PICTURE]);
}
