"""Everything that the stages import, imported once: their processes are forked from the one that has done so."""

import transformers.models.bert.modeling_bert
import transformers.models.gpt2.modeling_gpt2
import transformers.models.llama.modeling_llama
import transformers.models.vit.modeling_vit

import benchmarks.cuda.stages.bits
import benchmarks.cuda.stages.compare
import benchmarks.cuda.stages.cuda_graph
import benchmarks.cuda.stages.differing
import benchmarks.cuda.stages.identity
import benchmarks.cuda.stages.largest
import benchmarks.cuda.stages.machine
import benchmarks.cuda.stages.mempool
import benchmarks.cuda.stages.step
import benchmarks.cuda.stages.times
import roam_lab.capture.captured
import roam_lab.plan.planner
import roam_lab.runtime.step_compiler  # noqa: F401
