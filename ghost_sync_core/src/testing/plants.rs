//! Bugs that can be planted, to see that the invariants catch them.

use std::cell::Cell;

thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// There is no bug of that name to plant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no bug is called {0:?}")]
pub struct UnknownPlant(pub String);

/// Plants the bug of that name, on this thread, in place of any other; `None`
/// plants nothing.
///
/// # Errors
/// When no bug has that name; see [`PLANTS`].
pub fn plant(name: Option<&str>) -> Result<(), UnknownPlant> {
    let found = match name {
        None => None,
        Some(name) => {
            let known = PLANTS.iter().find(|known| **known == name);
            Some(*known.ok_or_else(|| UnknownPlant(name.to_owned()))?)
        }
    };
    PLANTED.set(found);
    Ok(())
}

/// Whether that bug is planted.
pub(crate) fn is_planted(name: &str) -> bool {
    PLANTED.get().is_some_and(|planted| planted == name)
}

/// What can be planted.
pub const PLANTS: &[&str] = &[];
