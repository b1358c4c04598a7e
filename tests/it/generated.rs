//! The checked-in protobuf code is what the .proto files say, and the reference of functions what their definitions say.
//! `UPDATE_GENERATED=1` writes both anew.

use std::path::Path;

#[test]
fn protobuf_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(["undertone/v1/undertone.proto"], [root.join("proto")]).unwrap();
    let encoded = prost::Message::encode_to_vec(&descriptors);
    tonic_prost_build::configure()
        // For JSON: the messages under the names of their fields.
        .type_attribute(".", "#[derive(serde::Serialize)]")
        .field_attribute(".undertone.v1.Question.mechanism", "#[serde(serialize_with = \"super::mechanism_name\")]")
        .field_attribute(".undertone.v1.Refinement.mechanism", "#[serde(serialize_with = \"super::mechanism_name\")]")
        .field_attribute(
            ".undertone.v1.Dataset.default_mechanism",
            "#[serde(serialize_with = \"super::mechanism_name\")]",
        )
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    let fresh = std::fs::read(out.path().join("undertone.v1.rs")).unwrap();
    for (name, fresh) in [("undertone.v1.rs", fresh), ("descriptors.bin", encoded)] {
        let kept = root.join("src/proto").join(name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&kept, &fresh).unwrap();
        }
        let current = std::fs::read(&kept).unwrap_or_default();
        assert!(current == fresh, "src/proto/{name} is stale: run UPDATE_GENERATED=1 cargo test --test it protobuf");
    }
}

#[test]
fn functions_have_their_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/functions.md");
    let fresh = undertone::sql::function_reference();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&page, &fresh).unwrap();
    }
    let current = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(current == fresh, "docs/functions.md is stale: run UPDATE_GENERATED=1 cargo test --test it functions");
}
