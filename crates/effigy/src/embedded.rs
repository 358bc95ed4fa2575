//! The weights that travel with the library.

/// A network's weights, as `effigy convert` writes them.
pub(crate) struct Embedded {
    pub(crate) name: &'static str,
    pub(crate) weights: &'static [u8],
}

pub(crate) static EMBEDDED: &[Embedded] = &[
    #[cfg(feature = "lite0")]
    Embedded {
        name: "efficientnet-lite0",
        weights: include_bytes!("../assets/efficientnet-lite0.safetensors"),
    },
    #[cfg(feature = "bccd")]
    Embedded {
        name: "efficientdet-lite0.bccd",
        weights: include_bytes!("../assets/efficientdet-lite0.bccd.safetensors"),
    },
];

pub(crate) fn find(name: &str) -> Option<&'static Embedded> {
    EMBEDDED.iter().find(|embedded| embedded.name == name)
}
