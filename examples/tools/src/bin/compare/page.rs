//! Puts text into a page that people write around it.

use std::{fs, io, path::Path};

/// The lines between which the text is.
const BEGIN: &str = "<!-- written by compare -->\n";
const END: &str = "<!-- end of what compare writes -->\n";

/// Replaces what is between the lines.
pub(crate) fn put(path: &Path, text: &str) -> io::Result<()> {
    let page = fs::read_to_string(path)?;
    let missing = || io::Error::other(format!("it lacks the lines {BEGIN:?} and {END:?}"));
    fs::write(path, replaced(&page, text).ok_or_else(missing)?)
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced};

    #[test]
    fn only_what_is_between_the_lines_changes() {
        let page = format!("before\n{BEGIN}old{END}after\n");
        let new = replaced(&page, "new\n\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(replaced(&new, "new"), Some(new.clone()));
        assert_eq!(replaced("no lines", "new"), None);
    }
}
