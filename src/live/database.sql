WITH wanted (role, schema, writes) AS (/*grants*/),
resolved AS (
    SELECT role, schema, writes,
        to_regrole(quote_ident(role))::oid AS grantee,
        to_regnamespace(quote_ident(schema))::oid AS namespace,
        to_regrole(quote_ident(/*owner*/))::oid AS owner
    FROM wanted
),
-- What may be done with tables (r) and sequences (S), and who has to be let: readers, then writers too, or nobody.
rights (kind, privilege, least) AS (VALUES
    ('r', 'SELECT', 'reader'), ('r', 'INSERT', 'writer'), ('r', 'UPDATE', 'writer'), ('r', 'DELETE', 'writer'),
    ('r', 'TRUNCATE', 'nobody'),
    ('S', 'SELECT', 'reader'), ('S', 'USAGE', 'writer'), ('S', 'UPDATE', 'writer')
),
relations AS (
    SELECT oid, relnamespace AS namespace, relowner AS owner, relkind IN ('v', 'm') AS is_view,
        CASE relkind WHEN 'S' THEN 'S' ELSE 'r' END AS kind,
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS granted
    FROM pg_class WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
),
-- Every right that was given to one role: on what is there, and on what its owner makes later.
given AS (
    SELECT false AS later, namespace, kind, acl.grantee, acl.privilege_type AS privilege, owner
    FROM relations, aclexplode(granted) AS acl WHERE acl.grantor = owner
    UNION ALL
    SELECT true, defaclnamespace, defaclobjtype::text, acl.grantee, acl.privilege_type, defaclrole
    FROM pg_default_acl, aclexplode(defaclacl) AS acl
)
SELECT json_build_object(
    'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension),
    'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace),
    'lookup', obj_description(to_regprocedure('pgbouncer.user_lookup(text)')),
    'heartbeat', to_regclass('public.heartbeat') IS NOT NULL,
    'missing', (
        SELECT coalesce(json_agg(role || ' ' || schema), '[]') FROM resolved
        WHERE grantee IS NULL OR namespace IS NULL
            OR NOT has_schema_privilege(grantee, namespace, 'USAGE')
            OR NOT has_database_privilege(grantee, current_database(), 'CONNECT')
            OR EXISTS (
                SELECT FROM relations JOIN rights USING (kind)
                WHERE relations.namespace = resolved.namespace
                    AND (least = 'reader' OR least = 'writer' AND writes AND NOT is_view)
                    AND NOT CASE kind
                        WHEN 'S' THEN has_sequence_privilege(resolved.grantee, oid, privilege)
                        ELSE has_table_privilege(resolved.grantee, oid, privilege)
                    END
            )
            OR EXISTS (
                SELECT FROM rights
                WHERE (least = 'reader' OR least = 'writer' AND writes) AND NOT EXISTS (
                    SELECT FROM given
                    WHERE later AND given.kind = rights.kind AND given.privilege = rights.privilege
                        AND given.grantee = resolved.grantee AND given.namespace = resolved.namespace
                        AND given.owner = resolved.owner
                )
            )
    ),
    -- What a role has through others, or as the owner of the database, is not for a revocation to take.
    'excess', (
        SELECT coalesce(json_agg(role || ' ' || schema), '[]') FROM resolved
        WHERE NOT writes AND grantee IS DISTINCT FROM owner AND EXISTS (
            SELECT FROM given JOIN rights USING (kind, privilege)
            WHERE least <> 'reader' AND given.grantee = resolved.grantee
                AND given.namespace = resolved.namespace AND (NOT later OR given.owner = resolved.owner)
        )
    )
)
