-- SQL over the vectors of `soda embed FOLDER -o vectors.parquet`, in DuckDB, which reads z as a list, FLOAT[];
-- z::FLOAT[128] is the array that its array_ functions take.
--   python examples/duckdb_search.py vectors.parquet "a/picture.png"

-- How many pictures, and how long a vector.
SELECT count(*) AS pictures, len(any_value(z)) AS latent_dim FROM vectors;

-- The ten nearest of one picture, by cosine of the vectors brought to mean 0 and deviation 1 over the table.
WITH long AS (
    SELECT file, unnest(z) AS value, generate_subscripts(z, 1) AS place FROM vectors
), scaled AS (
    SELECT file, place, (value - avg(value) OVER part) / greatest(stddev_pop(value) OVER part, 1e-9) AS value
    FROM long WINDOW part AS (PARTITION BY place)
), standard AS (
    SELECT file, list(value ORDER BY place) AS z FROM scaled GROUP BY file
)
SELECT other.file, list_cosine_similarity(one.z, other.z) AS cosine
FROM standard AS one, standard AS other
WHERE one.file = getvariable('query') AND other.file <> one.file
ORDER BY cosine DESC, other.file LIMIT 10;

-- Pictures by folder, and how widely each folder is spread around its own mean.
WITH long AS (
    SELECT regexp_replace(file, '/?[^/]*$', '') AS folder, file, unnest(z) AS value, generate_subscripts(z, 1) AS place FROM vectors
)
SELECT folder, count(DISTINCT file) AS pictures, sum(variance) AS spread
FROM (SELECT folder, file, var_pop(value) OVER (PARTITION BY folder, place) / count(*) OVER (PARTITION BY folder, place) AS variance
      FROM long)
GROUP BY folder ORDER BY folder;
