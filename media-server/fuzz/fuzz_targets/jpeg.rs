#![no_main]

mod property;

use libfuzzer_sys::fuzz_target;
use shared::media_api::ImageKind;
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

fuzz_target!(|data: &[u8]| {
    property::check(data, ImageKind::Jpeg, pixels);
});

/// Decodes with zune-jpeg, which panics on some files.
fn pixels(picture: &[u8]) -> Option<Vec<u8>> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let pixels = std::panic::catch_unwind(|| JpegDecoder::new(ZCursor::new(picture)).decode().ok());
    std::panic::set_hook(hook);
    pixels.ok().flatten()
}
