//! Laws of the store.

use super::*;

#[tokio::test]
async fn an_object_is_written_once_and_its_writer_recognised() {
    let store = Store::memory();
    let path = Path::from("names/x/1");
    let put = |content: &'static [u8]| store.put_if_absent(&path, Bytes::from_static(content));
    assert_eq!(put(b"a").await.expect("put"), PutOutcome::Created);
    assert_eq!(put(b"a").await.expect("put"), PutOutcome::Ours);
    assert_eq!(
        put(b"b").await.expect("put"),
        PutOutcome::Exists(Bytes::from_static(b"a"))
    );
}
