//! Writes the definitions into the folders that are given: `orion-crds config/crd charts/orion/crds`.

use anyhow::{Context, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    anyhow::ensure!(
        !folders.is_empty(),
        "which folders? usage: orion-crds config/crd charts/orion/crds"
    );
    let files = orion_crds::schema::files()?;
    for folder in &folders {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, text) in &files {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
