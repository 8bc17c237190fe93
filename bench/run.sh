#!/usr/bin/env bash
# All benchmarks beside their peers, one after the other: bench/run.sh [NAME ...]
#   views       views of CIFAR pictures and photographs, one thread, beside torchvision
#   clips       views of clips out of video files, one and two threads, beside PyAV and decord
#   fashion     whole training steps, small network, beside eager PyTorch
#   cifar       the same, ResNet-18 with batches of 64, float32 and bfloat16 (needs CIFAR-100)
#   knn         50,000 x 10,000 nearest neighbours, beside faiss in Python
#   probe       the linear probe, beside a loop in torch and scikit-learn
#   ranking     full ranking of Beauty's number of users, beside torch, numpy and loops in Python
#   health      what monitoring costs, beside none
#   queue       a step on MoCo's queue at 1, 2 and 4 ranks, beside a replicated queue
#   sequence    the sequence encoder forward and backward, beside eager PyTorch modules
#   cuda        no times: what the compiler made of the CUDA kernels of the loss (needs nvcc)
#   ntxent      the loss, time and memory, beside lightly, solo-learn's formula and plain loops
# Needs what ./test.sh has set up. The machine should be idle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../launcher/setup.sh
source launcher/setup.sh

[ $# -gt 0 ] || set -- views clips fashion cifar knn probe ranking health queue sequence ntxent
install_torch tests
install_peers
install_cutlass
build_program tests
allow_mpi_as_root
show cmake --build build -j "$(build_jobs)" --target views_bench clips_bench eval_bench \
  ranking_bench queue_bench sequence_encoder_bench ntxent
export PYTHONPATH=$peers_folder:$torch_folder
for name in "$@"; do
  phase "$name"
  case $name in
    views) show "$python" bench/views.py --rounds 5 ;;
    clips)
      install_bench_peers
      show env "PYTHONPATH=$bench_peers_folder:$PYTHONPATH" "$python" bench/clips.py --rounds 5
      ;;
    fashion) show "$python" bench/throughput.py ;;
    cifar)
      show "$python" bench/throughput.py --case cifar --ranks 1 --steps 10
      show "$python" bench/throughput.py --case cifar_bf16 --ranks 1 --steps 12
      ;;
    knn) show "$python" bench/knn.py build/bin/eval_bench --rounds 3 ;;
    probe) show "$python" bench/linear_probe.py build/bin/eval_bench --rounds 3 ;;
    ranking) show "$python" bench/ranking.py build/bin/ranking_bench --rounds 5 ;;
    health) show "$python" bench/health_overhead.py ;;
    queue)
      for ranks in 1 2 4; do
        show mpirun --oversubscribe --bind-to none -n "$ranks" build/bin/queue_bench
      done
      ;;
    sequence) show "$python" bench/sequence_encoder.py build/bin/sequence_encoder_bench ;;
    cuda)
      cuobjdump=$(PATH=$PATH:/usr/local/cuda/bin:$torch_folder/triton/backends/nvidia/bin \
        command -v cuobjdump) || fail "there is no cuobjdump" "install the CUDA toolkit 13.0"
      mapfile -t objects < <(find build -name 'lse_fused_*.cu.o' -o -name 'lse_kernels.cu.o')
      [ ${#objects[@]} -eq 3 ] ||
        fail "the CUDA kernels of the loss were not built" "see what cmake says it found, above"
      show "$python" bench/cuda_evidence.py "$cuobjdump" "${objects[@]}"
      ;;
    ntxent)
      install_bench_peers
      show env "PYTHONPATH=$bench_peers_folder:$PYTHONPATH" build/bench/ntxent \
        --json build/ntxent.jsonl --plot build/ntxent.png
      ;;
    *)
      fail "no benchmark is called $name" \
        "one of: views clips fashion cifar knn probe ranking health queue sequence cuda ntxent"
      ;;
  esac
done
end_phase
