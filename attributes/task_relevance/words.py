"""Words of four domains, as prototypes for task relevance: what an answer there is about, whatever the question."""

from __future__ import annotations

_TEXTS = {
    "maths": """
        sum total difference product quotient remainder add subtract multiply divide plus minus times equals
        percent fraction ratio proportion average mean number digit integer prime factor multiple square root
        power exponent equation variable coefficient polynomial function derivative integral limit matrix
        vector angle triangle circle radius area perimeter volume length distance speed probability
        permutation sequence series theorem proof therefore hence solve simplify evaluate substitute
    """,
    "code": """
        def return class import function method argument parameter variable constant string integer float
        boolean list dict array tuple set loop for while if else elif break continue try except raise assert
        lambda yield async await index slice append insert sort search hash recursion iterator generator
        object instance attribute inherit module package compile parse token syntax error exception test debug
        query select join thread stack queue tree graph node pointer null true false
    """,
    "medicine": """
        patient diagnosis symptom disease disorder syndrome treatment therapy drug dose clinical trial
        randomized placebo cohort outcome mortality survival risk prevalence incidence infection inflammation
        tumor cancer carcinoma lesion biopsy surgery anesthesia cardiac pulmonary renal hepatic cerebral
        vascular blood plasma serum glucose insulin hypertension diabetes stroke fracture antibody antigen
        receptor gene mutation protein enzyme hormone chronic acute pregnancy neonatal pediatric prognosis
        screening vaccine pathology significant
    """,
    "finance": """
        revenue profit loss income expense cost margin earnings dividend share stock equity bond yield
        interest rate principal loan credit debt asset liability balance cash flow capital investment investor
        portfolio return risk volatility hedge option future derivative market price index fund bank deposit
        mortgage inflation currency exchange tax audit accounting fiscal quarter budget forecast growth
        valuation discount present liquidity solvency default rating broker trade insurance premium pension
    """,
}

WORDS: dict[str, tuple[str, ...]] = {domain: tuple(text.split()) for domain, text in _TEXTS.items()}
"""Domain to its words."""
