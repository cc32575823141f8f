#![no_main]

mod property;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media_server::images::work::Work;
use media_server::renditions::Source;
use shared::media_api::ImageKind;
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

fuzz_target!(|data: &[u8]| {
    if property::check(data, ImageKind::Jpeg, pixels) {
        let picture = Source::Picture(Bytes::copy_from_slice(data));
        assert!(picture.rendition(16, &mut Work::default()).is_ok(), "what was accepted has renditions");
    }
});

/// zune-jpeg panics on some files, which is not to end the run.
fn pixels(picture: &[u8]) -> Option<Vec<u8>> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let pixels = std::panic::catch_unwind(|| JpegDecoder::new(ZCursor::new(picture)).decode().ok());
    std::panic::set_hook(hook);
    pixels.ok().flatten()
}
