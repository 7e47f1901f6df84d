"""Networks: modules that know no loss, no optimizer and no device."""
