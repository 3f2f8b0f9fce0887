//! The metered provider as a program; see `upstream_sim::metered`.

fn main() -> anyhow::Result<()> {
    upstream_sim::metered::main()
}
