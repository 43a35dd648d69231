"""The fields of the source ``docstrings``: what documents them, and which words would give them away."""

from __future__ import annotations

FIELDS: dict[str, tuple[str, ...]] = {
    "arrays": ("numpy._core", "numpy.lib", "numpy.ma", "torch._torch_docs", "torch._tensor_docs"),
    "geometry": ("scipy.spatial", "sympy.geometry"),
    "graphs": ("networkx.algorithms", "networkx.classes", "networkx.generators", "scipy.sparse.csgraph"),
    "interpolation and integration": ("scipy.interpolate", "scipy.integrate"),
    "linear algebra": (
        "numpy.linalg",
        "scipy.linalg",
        "scipy.sparse.linalg",
        "sympy.matrices",
        "torch.linalg",
    ),
    "machine learning": (
        "sklearn.calibration",
        "sklearn.cluster",
        "sklearn.compose",
        "sklearn.covariance",
        "sklearn.decomposition",
        "sklearn.ensemble",
        "sklearn.feature_selection",
        "sklearn.impute",
        "sklearn.linear_model",
        "sklearn.manifold",
        "sklearn.metrics",
        "sklearn.mixture",
        "sklearn.model_selection",
        "sklearn.multiclass",
        "sklearn.naive_bayes",
        "sklearn.neighbors",
        "sklearn.preprocessing",
        "sklearn.svm",
        "sklearn.tree",
    ),
    "neural networks": ("torch.nn",),
    "number theory": ("sympy.combinatorics", "sympy.ntheory"),
    "optimisation": ("scipy.optimize", "torch.optim"),
    "physics": ("sympy.physics",),
    "plots": (
        "matplotlib.artist",
        "matplotlib.axes",
        "matplotlib.axis",
        "matplotlib.cm",
        "matplotlib.collections",
        "matplotlib.colorbar",
        "matplotlib.colors",
        "matplotlib.contour",
        "matplotlib.figure",
        "matplotlib.gridspec",
        "matplotlib.image",
        "matplotlib.legend",
        "matplotlib.lines",
        "matplotlib.patches",
        "matplotlib.projections",
        "matplotlib.scale",
        "matplotlib.spines",
        "matplotlib.text",
        "matplotlib.ticker",
        "matplotlib.transforms",
    ),
    "signal processing": ("numpy.fft", "scipy.fft", "scipy.ndimage", "scipy.signal", "torch.fft"),
    "special functions": ("mpmath.functions", "scipy.special", "sympy.functions.special", "torch.special"),
    "statistics": ("scipy.stats", "sympy.stats", "torch.distributions"),
    "symbolic mathematics": (
        "sympy.assumptions",
        "sympy.calculus",
        "sympy.core",
        "sympy.integrals",
        "sympy.logic",
        "sympy.series",
        "sympy.sets",
        "sympy.simplify",
        "sympy.solvers",
    ),
    "tables": (
        "pandas.core.frame",
        "pandas.core.generic",
        "pandas.core.groupby",
        "pandas.core.indexes",
        "pandas.core.reshape",
        "pandas.core.series",
        "pandas.core.window",
        "pandas.io.parsers",
    ),
}
"""Label to the modules whose documentation it names; all of packages in the base installation."""

PACKAGE_NAMES = (
    "artist", "artists", "autograd", "axes", "cuda", "dataframe", "dataframes", "estimator",
    "estimators", "expr", "fft", "lapack", "learn", "linalg", "matplotlib", "module", "modules", "mpl",
    "mpmath", "ndarray", "ndarrays", "networkx", "np", "numpy", "nx", "pandas", "pd", "plt", "pyplot",
    "python", "pytorch", "scikit", "scipy", "series", "sklearn", "sp", "stats", "sympy", "tensor",
    "tensors", "torch",
)  # fmt: skip
"""Names of packages and of the types that only one of them has."""

LABEL_WORDS: dict[str, tuple[str, ...]] = {
    "arrays": (
        "array", "arrays",
    ),
    "geometry": (
        "geometry", "geometric", "geometrical", "geometries",
    ),
    "graphs": (
        "graph", "graphs", "digraph", "digraphs", "multigraph", "multigraphs", "subgraph", "subgraphs",
    ),
    "interpolation and integration": (
        "interpolation", "interpolate", "interpolates", "interpolating", "interpolator", "interpolated",
        "integration", "integrate", "integrates", "integrating", "integral", "integrals", "integrator",
        "interpolant",
    ),
    "linear algebra": (
        "linear", "algebra", "algebraic",
    ),
    "machine learning": (
        "machine", "learning",
    ),
    "neural networks": (
        "neural", "network", "networks",
    ),
    "number theory": (
        "number", "numbers", "theory",
    ),
    "optimisation": (
        "optimisation", "optimization", "optimise", "optimize", "optimizer", "optimizers", "optimal",
        "optimum", "optimized", "optimizes", "optimizing", "optimality",
    ),
    "physics": (
        "physics", "physical",
    ),
    "plots": (
        "plot", "plots", "plotting", "plotted", "subplot", "subplots", "plotter",
    ),
    "signal processing": (
        "signal", "signals", "processing",
    ),
    "special functions": (
        "special", "function", "functions",
    ),
    "statistics": (
        "statistics", "statistic", "statistical", "statistically",
    ),
    "symbolic mathematics": (
        "symbolic", "symbol", "symbols", "symbolically", "mathematics", "mathematical",
    ),
    "tables": (
        "table", "tables", "tabular",
    ),
}  # fmt: skip
"""Words of the labels themselves, removed from every text, whatever its label."""
