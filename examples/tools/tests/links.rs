//! Links between the pages of this repository lead somewhere, and the book has all its chapters.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

#[test]
fn links_between_pages_lead_somewhere() {
    let root = root();
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages(&root) {
        let text = read(&page);
        for link in links(&text) {
            count += 1;
            if let Err(why) = follow(&root, &page, &link) {
                broken.push(format!("{}: {link}: {why}", shown(&root, &page)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(count > 50, "links are found at all: {count}");
}

#[test]
fn the_book_and_its_tests_know_every_chapter() {
    let root = root();
    let files = fs::read_dir(root.join(BOOK)).expect("the book is there");
    let chapters: BTreeSet<_> = files
        .map(|file| file.expect("it can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
        .map(|file| file.file_stem().expect("it has a name").to_string_lossy().into_owned())
        .filter(|name| name != "SUMMARY")
        .collect();
    let listed: BTreeSet<_> = links(&read(&root.join(BOOK).join("SUMMARY.md")))
        .into_iter()
        .map(|link| link.trim_end_matches(".md").to_owned())
        .collect();
    assert_eq!(listed, chapters, "chapters that SUMMARY.md names");
    let tested = read(&root.join("bevy_ghost_server/src/book.rs"));
    let tested: BTreeSet<_> = tested.lines().map(|line| line.trim().to_owned()).collect();
    let untested: Vec<_> = chapters.difference(&tested).collect();
    assert!(untested.is_empty(), "chapters that book.rs does not name: {untested:?}");
}

#[test]
fn code_is_not_searched_for_links() {
    let text = "[a](b.md) `[c](d.md)` ![e](f.png)\n```rust\nx[0](g.md);\n```\n[h](i.md#j)";
    assert_eq!(links(text), ["b.md", "f.png", "i.md#j"]);
}

#[test]
fn headings_become_anchors_as_on_a_page() {
    let text = "# A, `b` and c's\n```sh\n# not this\n```\n## More\n## More\n### [x](y.md) z";
    assert_eq!(anchors(text), ["a-b-and-cs", "more", "more-1", "x-z"]);
}

/// Where the chapters are.
const BOOK: &str = "assets/book/src";

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("it is two folders down").to_owned()
}

/// All pages, but for what builds and tools have made.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has a name").to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !MADE.contains(&&*name) {
            found.extend(pages(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

const MADE: &[&str] = &["target", "node_modules", "corpus", "artifacts"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(root: &Path, page: &Path) -> String {
    page.strip_prefix(root).unwrap_or(page).display().to_string()
}

/// Whether there is something where a link leads.
fn follow(root: &Path, page: &Path, link: &str) -> Result<(), String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = page.parent().expect("a page is in a folder");
    let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
    let target = target.canonicalize().map_err(|error| error.to_string())?;
    let book = root.join(BOOK).canonicalize().map_err(|error| error.to_string())?;
    if page.starts_with(root.join(BOOK)) && !target.starts_with(book) {
        return Err("leads out of the book, where a built one has nothing".to_owned());
    }
    let is_page = target.extension().is_some_and(|extension| extension == "md");
    if is_page && !anchor.is_empty() && !anchors(&read(&target)).iter().any(|it| it == anchor) {
        return Err("no such heading".to_owned());
    }
    Ok(())
}

/// What pages of this repository are linked, without the names of Rust's items.
fn links(text: &str) -> Vec<String> {
    let prose: String = prose(text).map(without_code).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    targets
        .filter(|target| !target.contains("://") && !target.contains("::"))
        .filter(|target| target.contains(['.', '/', '#']))
        .map(str::to_owned)
        .collect()
}

/// The anchors of a page's headings.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = HashMap::new();
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim();
            // Of a link its words count.
            let words = words.split("](").map(|part| part.split_once(')').map_or(part, |it| it.1));
            let words: String = words.collect::<String>().to_lowercase();
            let anchor: String = words
                .chars()
                .filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it))
                .map(|it| if it == ' ' { '-' } else { it })
                .collect();
            let count = seen.entry(anchor.clone()).or_insert(0);
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// A line without what is between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).chain(["\n"]).collect()
}
