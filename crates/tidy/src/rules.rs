//! The rules, one row each.

mod crates;
mod data;
mod documents;
mod files;
mod places;
mod testing;

use crate::Rule;

/// Every rule. ARCHITECTURE.md lists them in the same order.
pub const RULES: &[Rule] = &[
    crates::DEPENDENCIES,
    crates::LINTS,
    places::PLACES,
    data::ONE_DESCRIPTION,
    data::PICKLE,
    data::BOXES,
    testing::SPEED,
    testing::IGNORED,
    files::UNFINISHED,
    files::LENGTH,
    files::BULK,
    files::MACHINE_PATHS,
    documents::PATHS,
    documents::MAP,
    documents::TEST_COMMAND,
];
