from __future__ import annotations

import streamflow as sf
from pipelines import word_count


def test_every_word_is_counted_in_lower_case_without_punctuation() -> None:
    lines = [{"line": "The well, the WELL;"}, {"line": ""}, {"line": "-- l’été, été! 42"}]
    results = sf.testing.run(word_count.build(), {"lines": lines})
    sf.testing.assert_rows(
        sf.testing.final(results["out"]),
        [
            {"word": "the", "count": 2},
            {"word": "well", "count": 2},
            {"word": "l", "count": 1},
            {"word": "été", "count": 2},
        ],
    )


def test_a_count_that_changes_is_taken_back_first() -> None:
    lines = [{"line": "still"}, sf.testing.advance("0s"), {"line": "still"}]
    results = sf.testing.run(word_count.build(), {"lines": lines})
    assert results["out"].column("count").to_pylist() == [1, 1, 2]  # one; not one; two
    assert sf.testing.final(results["out"]).to_pylist() == [{"word": "still", "count": 2}]


def test_two_texts_and_three_workers_count_as_plain_python_does() -> None:
    words = [
        "".join(letter if letter.isalpha() else " " for letter in path.read_text().lower()).split()
        for path in sorted(word_count.TEXTS.glob("*.txt"))
    ]
    all_ = [word for text in words for word in text]
    results = sf.testing.run(word_count.build(), seed=3, workers=3, crashes=1)
    sf.testing.assert_rows(
        sf.testing.final(results["out"]), [{"word": word, "count": all_.count(word)} for word in set(all_)]
    )
