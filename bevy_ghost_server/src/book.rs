//! Compiles the programs of the book, `assets/book`.

macro_rules! chapters {
    ($($chapter:ident)*) => {
        $(
            #[doc = include_str!(concat!("../../assets/book/src/", stringify!($chapter), ".md"))]
            mod $chapter {}
        )*
    };
}

chapters! {
    introduction
    start
    rooms
    messages
    rules
    tokens
    banning
    links
    testing
    tokio
    deploying
    settings
    coming
}
