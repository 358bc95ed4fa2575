//! What several tests share with the scripts that make their goldens.
#![allow(dead_code, unreachable_pub)] // Each test uses its part.

use effigy_arch::Interpolation;
use effigy_vision::Picture;

/// The generator of `golden/make_resize.py`.
pub fn noise(width: usize, height: usize, seed: u32) -> Picture {
    let mut state = seed;
    let pixels = (0..width * height * 3).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let byte = (state >> 24) as u8;
        if seed % 2 == 1 { byte } else { 255 * u8::from(byte > 127) }
    });
    Picture::new(width, height, pixels.collect()).unwrap()
}

/// CRC-32 as zlib and PNG have it (reflected polynomial 0xEDB88320).
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

pub fn interpolation(name: &str) -> Interpolation {
    match name {
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => panic!("no filter is called {other}"),
    }
}
