"""Breaches of rules 16 to 19: values, equality, types, the partition hash."""

from __future__ import annotations

import pyarrow as pa

from streamflow.connect import canonical
from streamflow.engine.exchange import Router
from streamflow.engine.reading import OpenRead
from streamflow.kernels import canonical as keys
from streamflow.kernels import equality, grouping, hashing
from streamflow.kernels.aggregates import extremes, sums
from streamflow.operators import firing
from streamflow.operators.preaggregate import pick_key
from streamflow.state import files
from streamflow.testing import compare
from tests.simulation.mutants import Mutant, by_test, edit, mutants, replace

RULES, HASH = "rules/test_values.py", "kernels/test_hashing.py"


@mutants(
    Mutant(
        "each NaN is a key of its own",
        16,
        edit(grouping._canonical_bits, "numbers[np.isnan(numbers)] = np.nan", "pass"),
        by_test(f"{RULES}::test_16_keys_are_equal_as_in_sql"),
    ),
    Mutant(
        "-0.0 and 0.0 are two keys",
        16,
        edit(grouping._canonical_bits, "values.astype(np.float64) + 0.0", "values.astype(np.float64)"),
        by_test(f"{RULES}::test_16_keys_are_equal_as_in_sql"),
    ),
    Mutant(
        "null and the least value are one key",
        16,
        edit(grouping._shift_nulls, "np.where(valid, codes + 1, 0)", "np.where(valid, codes, 0)"),
        by_test(f"{RULES}::test_16_keys_are_equal_as_in_sql"),
    ),
    Mutant(
        "-0.0 is shown",
        16,
        edit(pick_key, "pc.add(picked, pa.scalar(0.0, column.type))", "picked"),
        by_test(f"{RULES}::test_16_keys_are_equal_as_in_sql"),
    ),
    Mutant(
        "a NaN that is known is a new key",
        16,
        edit(equality.equal_rows, "if pa.types.is_floating(left.type):", "if False:"),
        by_test("kernels/test_equality.py"),
    ),
    Mutant(
        "keys keep the bits that they came with",
        16,
        edit(
            keys.canonical_key, "if not pa.types.is_floating(array.type) or len(array) == array.null_count:", "if True:"
        ),
        by_test("kernels/test_canonical.py"),
    ),
    Mutant(
        "NaN is no maximum",
        16,
        edit(extremes._floats, "np.maximum.at(result, ids, numbers)", "np.fmax.at(result, ids, numbers)"),
        by_test(f"{RULES}::test_16_nan_is_greater_than_all_numbers"),
    ),
    Mutant(
        "NaN is a minimum",
        16,
        edit(extremes._floats, "np.fmin.at(result, ids, numbers)", "np.minimum.at(result, ids, numbers)"),
        by_test(f"{RULES}::test_16_nan_is_greater_than_all_numbers"),
    ),
    Mutant(
        "a sum that does not fit wraps around",
        16,
        edit(sums._finish_sum, "if len(limbs[-1]) and", "if False and"),
        by_test(f"{RULES}::test_16_an_integer_sum_that_overflows_is_an_error_that_names_the_step"),
    ),
    Mutant(
        "sums of a batch wrap around",
        16,
        edit(sums._sum_integers, "magnitude * len(values) < 1 << 63", "True"),
        by_test(f"{RULES}::test_16_an_integer_sum_that_overflows_is_an_error_that_names_the_step"),
    ),
    Mutant(
        "integers are summed as floats",
        16,
        edit(
            sums._sum_integers,
            "sum_int64(values.astype(np.int64, copy=False), ids, count)",
            "np.bincount(ids, values, count).astype(np.int64)",
        ),
        by_test(f"{RULES}::test_16_integers_above_2_to_the_53_are_summed_and_averaged_exactly"),
    ),
    Mutant(
        "an overflow that nobody explains",
        16,
        edit(firing._as_data_error, "raise DataError(str(error), remedy=remedy) from error", "raise"),
        by_test(f"{RULES}::test_16_an_integer_sum_that_overflows_is_an_error_that_names_the_step"),
    ),
    Mutant(
        "the range of integers is computed in their own type",
        16,
        edit(grouping._integer_codes, "int(values.max()) - low + 1", "int(abs(values.max() - values.min())) + 1"),
        by_test("kernels/test_grouping.py"),
    ),
    Mutant(
        "floats may differ by more",
        17,
        replace(compare, "RELATIVE", 1e-6),
        by_test(f"{RULES}::test_17_only_floats_may_differ_and_by_1e_9_only"),
    ),
    Mutant(
        "integers may differ as well",
        17,
        edit(
            compare._equal,
            "isinstance(a, float) and isinstance(b, float)",
            "isinstance(a, int | float) and isinstance(b, int | float)",
        ),
        by_test(f"{RULES}::test_17_only_floats_may_differ_and_by_1e_9_only"),
    ),
    Mutant(
        "large text stays large",
        18,
        replace(canonical._PLAIN, pa.large_string().id, pa.large_string()),
        by_test(f"{RULES}::test_18_sources_cast_to_plain_types"),
    ),
    Mutant(
        "times keep their unit",
        18,
        edit(canonical.canonical_type, "return _PLAIN", "return type_ if types.is_timestamp(type_) else _PLAIN"),
        by_test(f"{RULES}::test_18_sources_cast_to_plain_types"),
    ),
    Mutant(
        "a source's rows go on as they come",
        18,
        edit(OpenRead._fitting, "batch.schema.equals(self._schema)", "True"),
        by_test(f"{RULES}::test_18_what_a_reader_gives_in_other_types_is_cast"),
    ),
    Mutant(
        "the hash mixes with another constant",
        19,
        replace(hashing, "_A", hashing._A + hashing._HALF),
        by_test(f"{RULES}::test_19_the_worker_of_a_value_is_fixed_for_ever"),
    ),
    Mutant(
        "the hash of null is another",
        19,
        replace(hashing, "_NULL", hashing._B),
        by_test(HASH),
    ),
    Mutant(
        "the hash of -0.0 is another than that of 0.0",
        19,
        edit(hashing._HASHERS[pa.float64().id], "values += 0.0", "pass"),
        by_test(f"{RULES}::test_19_equal_floats_go_together"),
    ),
    Mutant(
        "the hash of text depends on where its array begins",
        19,
        edit(hashing._string, "offset=array.offset * 4", "offset=0"),
        by_test(f"{RULES}::test_19_a_slice_of_a_batch_goes_where_the_batch_went"),
    ),
    Mutant(
        "columns are combined in any order",
        19,
        edit(hashing.hash_columns, "hashes *= _COMBINE", "pass"),
        by_test(f"{RULES}::test_19_columns_are_combined_in_order"),
    ),
    Mutant(
        "what is under a null is hashed",
        19,
        edit(hashing.hash_array, "if array.null_count:", "if False:"),
        by_test(HASH),
    ),
    Mutant(
        "all rows go to the first worker",
        19,
        edit(Router.split, "key_groups(hashes, self._groups)", "0 * key_groups(hashes, self._groups)"),
        by_test(f"{RULES}::test_19_keys_spread_over_all_workers"),
    ),
    Mutant(
        "state grouped by another version of the hash is taken",
        19,
        edit(files.decode, 'header["hash_version"] != HASH_VERSION', "False"),
        by_test("state/test_files.py::test_rows_grouped_by_another_version_of_the_hash_are_refused"),
    ),
)
def test_a_breach_of_rules_16_to_19_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()
