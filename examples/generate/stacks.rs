//! The page about the order of layers.

use kv_factory::order::{ONCE, ORDER, REFUSED, Side};
use std::fmt::{self, Write};

/// Where it is, from the root of the repository.
pub(crate) const PATH: &str = "docs/stacks.md";

pub(crate) fn page() -> Result<String, fmt::Error> {
    let mut out = String::from(
        "<!-- generated from crates/kv-factory/src/order.rs (cargo xtask example generate); do not edit -->\n\
         # The order of layers\n\n\
         A stack is written from the provider outwards, in code as in TOML; a call meets the outermost layer first. *Inside* is\n\
         nearer to the provider, *outside* nearer to the caller. Take from this list what you need and keep its order:\n\n\
         | | layer | why there | elsewhere |\n|---|---|---|---|\n",
    );
    for (number, it) in ORDER.iter().enumerate() {
        writeln!(
            out,
            "| {} | `{}` | {} | {} |",
            number + 1,
            it.wrapper,
            it.reason,
            it.elsewhere
        )?;
    }
    out.push_str(
        "\n## What a configuration is refused for\n\n\
         | layer | must not stand | because |\n|---|---|---|\n",
    );
    for it in REFUSED {
        let side = match it.side {
            Side::Inside => "inside",
            Side::Outside => "outside",
        };
        writeln!(
            out,
            "| `{}` | {side} of `{}` | {} |",
            it.wrapper, it.other, it.reason
        )?;
    }
    out.push_str(
        "\nIt makes no difference what stands between the two. A layer of one's own says where it can work by\n\
         `WrapperBuilder::check_order`.\n\n\
         ## What may stand in a stack once\n\n\
         | layer | the inner one |\n|---|---|\n",
    );
    for it in ONCE {
        writeln!(out, "| `{}` | {} |", it.wrapper, it.reason)?;
    }
    let mut others = ORDER.iter().map(|it| it.wrapper).collect::<Vec<_>>();
    others.retain(|name| ONCE.iter().all(|it| it.wrapper != *name));
    let others: Vec<_> = others.iter().map(|it| format!("`{it}`")).collect();
    writeln!(
        out,
        "\nThe others may stand in it several times: {}.",
        others.join(", ")
    )?;
    out.push_str(
        "\n## What connecting refuses, in any stack\n\n\
         Also one that is put together in code, which nobody checks before:\n\n\
         - `near_cache` outside of any layer that changes keys.\n\
         - `near_cache` on a store, or a layer, that cannot watch, unless its `invalidate` is `\"own_writes\"`.\n\
         - `fallback` outside of a layer that keeps tenants or users apart, if the second store does not: there all of them would\n\
         \u{20} meet. Put it further in, give the second store a `key_resolver`, or, if there are none of them, say\n\
         \u{20} `multi_tenancy_enabled = false` or `use_user_uid = false` in the first one's, which changes its keys. Namespaces are\n\
         \u{20} not looked at.\n",
    );
    Ok(out)
}
