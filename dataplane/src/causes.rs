//! An error with its causes: as text, and one by one. Below all modules.

use std::error::Error;

/// For the one line that logs it: what each says, outermost first.
pub(crate) fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The error and its causes, outermost first. `io::Error` hides what it wraps from `source()`: looked into.
pub(crate) fn of<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_within_an_io_error_is_found_and_told_once() {
        let error = Outer(io::Error::other(Outer(io::ErrorKind::StorageFull.into())));
        let kinds = super::of(&error).filter_map(|cause| cause.downcast_ref::<io::Error>());
        let kinds: Vec<_> = kinds.map(io::Error::kind).collect();
        assert_eq!(kinds, [io::ErrorKind::Other, io::ErrorKind::StorageFull]);
        assert_eq!(super::text(&error).matches("outer").count(), 2);
    }
}
