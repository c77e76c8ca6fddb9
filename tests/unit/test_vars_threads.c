/* SPDX-License-Identifier: Apache-2.0 */
/* Generators that run at the same time in one process, as in `vmcred generate`. ThreadSanitizer
 * (-Db_sanitize=thread) reports what they share. */
#include <pthread.h>
#include <string.h>

#include "unit.h"
#include "vars/generator.h"

#define THREADS 6
#define ROUNDS  3

static const char declaration[] =
	"machines: {m: {}}\n"
	"generators:\n"
	"  kinds:\n"
	"    machines: [m]\n"
	"    files: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, f.pub: {}, g: {}, g.pub: {}, h: "
	"{},\n"
	"            h.pub: {}, i: {}, i.crt: {}, j: {}, j.pub: {}, k: {}, l: {}, n: {}, o: {}}\n"
	"    kind:\n"
	"      a: {base64: 32}\n"
	"      b: {base64url: 32}\n"
	"      c: {hex: 32}\n"
	"      d: {alphanumeric: 32}\n"
	"      e: {pin: 8}\n"
	"      f: {ssh-key: {public: f.pub}}\n"
	"      g: {age-key: g.pub}\n"
	"      h: {wireguard: h.pub}\n"
	"      i: {tls: {certificate: i.crt, names: [a.example, 10.0.0.1]}}\n"
	"      j: {jwt: {algorithm: EdDSA, public: j.pub}}\n"
	"      k: machine-id\n"
	"      l: uuid\n"
	"      n: {password-hash: d}\n"
	"      o: {password-hash: {of: d, method: sha-512}}\n";

struct runner {
	const struct config *config;
	int failures;
};

static int generator_run_named(const struct config *config, const char *name, struct value *values)
{
	const struct config_generator *generator = config_generator_find(config, name, NULL);
	struct inputs inputs = {.config = config, .store_dirfd = -1};
	_cleanup_error_ struct error err = {0};
	int r = generator_run(generator, &inputs, values, &err);

	inputs_destroy(&inputs);
	return r;
}

static void *runner_main(void *data)
{
	struct runner *runner = data;

	for (int round = 0; round < ROUNDS; round++) {
		struct value kinds[32] = {0};

		if (generator_run_named(runner->config, "kinds", kinds) != 0)
			runner->failures++;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			secret_destroy(&kinds[i].plaintext);
	}
	return NULL;
}

static void generators_in_several_threads_are_independent(void **state)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_error_ struct error err = {0};
	struct runner runners[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	assert_int_equal(
		config_load_text(declaration, strlen(declaration), "vmcred.yaml", &config, &err),
		0);
	for (size_t i = 0; i < THREADS; i++) {
		runners[i] = (struct runner){.config = &config};
		assert_int_equal(pthread_create(&threads[i], NULL, runner_main, &runners[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(runners[i].failures, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generators_in_several_threads_are_independent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
